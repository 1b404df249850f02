"""The references: exact starts, agreement, and that none of them is trained."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from infinito.errors import ConfigError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.preferences.reference.policies import (
    AdapterOffReference,
    CopyReference,
    FreeReference,
    PrecomputedReference,
    Reference,
)
from infinito.preferences.scoring.layout_probe import Layout
from infinito.preferences.scoring.layouts import LayoutName, arrange
from infinito.preferences.scoring.log_prob_table import tabulate_log_probs
from tests.preferences.dpo_module.toy_training import (
    PAIRS,
    SHARED,
    adapted,
    loss_of,
    losses,
    task_of,
    trained,
)
from tests.preferences.pair_models import make

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")


@pytest.mark.parametrize("name", ["llama", "gpt2", "distance_l1"])
@pytest.mark.parametrize("layout", ["shared", "concat", "full"])
def test_the_first_loss_is_ln_2(name: str, layout: LayoutName) -> None:
    model = make(name)
    task = task_of(model, CopyReference(model), layout=Layout(layout, "fused"))
    task.model.train(task.dropout)
    assert abs(loss_of(task, arrange(PAIRS, layout)) - math.log(2)) < 1e-12


def test_the_first_loss_is_ln_2_with_adapters_off() -> None:
    model = adapted().train()
    task = task_of(model, AdapterOffReference(model))
    assert abs(loss_of(task, arrange(PAIRS, "shared")) - math.log(2)) < 1e-12
    assert model.training


def test_precomputed_copy_and_adapter_off_agree(tmp_path: Path) -> None:
    """Eight steps each, with adapters: the same losses to 1e-6."""
    found = {}
    for way in ("precomputed", "copy", "adapter_off"):
        model = adapted()
        table = tabulate_log_probs(model, PAIRS, SHARED, adapters=False)
        reference: Reference = PrecomputedReference()
        if way != "precomputed":
            reference = (CopyReference if way == "copy" else AdapterOffReference)(model)
        task = task_of(model, reference)
        found[way] = losses(trained(task, tmp_path / way, 8, table=table))
    assert len(found["copy"]) == 8
    assert found["copy"][-1] < math.log(2) - 0.005
    for way in ("precomputed", "adapter_off"):
        assert found[way] == pytest.approx(found["copy"], abs=1e-6)


def test_without_a_reference_the_reference_counts_nothing() -> None:
    model = make("llama")
    task = task_of(model, FreeReference())
    batch = arrange(PAIRS, "shared")
    pairs, _ = task(batch)
    expected = -torch.nn.functional.logsigmoid(0.1 * (pairs.chosen - pairs.rejected)).mean()
    assert loss_of(task, batch) == pytest.approx(float(expected.detach()), abs=1e-12)


def test_dropout_is_the_policy_s_alone() -> None:
    """The reference never drops; without `dropout`, nor does the policy."""
    model = make("distance_dot", dropout=0.5).train()
    batch = arrange(PAIRS, "shared")
    reference = CopyReference(model)
    assert torch.equal(reference(batch), reference(batch))
    assert not reference.model.training
    task = task_of(model, reference, dropout=True)
    task.on_train_start()
    assert loss_of(task, batch) != pytest.approx(math.log(2), abs=1e-4)
    first, again, other = (loss_of(task, batch, n) for n in (1, 1, 2))
    assert first == again != other


def test_the_reference_stays_out_of_checkpoint_and_optimizer(tmp_path: Path) -> None:
    model = make("llama")
    task = task_of(model, CopyReference(model))
    before = [each.clone() for each in task.reference.model.parameters()]  # type: ignore[attr-defined]
    trained(task, tmp_path, 4)
    saved = read_checkpoint(tmp_path / "last.ckpt")
    assert set(saved["state_dict"]) == {f"model.{name}" for name in model.state_dict()}
    optimized = saved["optimizer_states"][0]["param_groups"]
    assert sum(len(group["params"]) for group in optimized) == len(list(model.parameters()))
    after = task.reference.model.parameters()  # type: ignore[attr-defined]
    assert all(torch.equal(one, other) for one, other in zip(before, after, strict=True))


def test_what_references_need_is_said() -> None:
    with pytest.raises(ConfigError, match="adapter_off` needs a policy with adapters"):
        AdapterOffReference(make("llama"))
    with pytest.raises(ConfigError, match="the pairs have no log-probabilities"):
        PrecomputedReference()(arrange(PAIRS, "shared"))
