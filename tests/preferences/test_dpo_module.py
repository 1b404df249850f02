"""The preference task: exact starts, equal references, resumption, accumulation, refusals."""

from __future__ import annotations

import copy
import json
import logging
import math
from pathlib import Path
from typing import Any

import peft
import pytest
import torch
from lightning import Trainer
from transformers import PreTrainedModel

from infinito.config import AdamWConf
from infinito.errors import ConfigError, NonFiniteError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.preferences.dpo_module import DpoPolicyTask
from infinito.preferences.log import PreferenceLog
from infinito.preferences.objective.weighted_losses import PreferenceObjective
from infinito.preferences.pairs.datamodule import PreferenceDataModule
from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.reference.policies import (
    AdapterOffReference,
    CopyReference,
    FreeReference,
    PrecomputedReference,
    Reference,
)
from infinito.preferences.scoring.layout_probe import Layout
from infinito.preferences.scoring.layouts import LayoutName, PairBatch, arrange
from infinito.preferences.scoring.log_prob_table import tabulate_log_probs
from infinito.training.callbacks.milestones import Milestones
from infinito.training.trainer import SafeCheckpointIO
from tests.preferences.pair_models import make, random_pairs

PAIRS = random_pairs(8)
SHARED = Layout("shared", "fused")
NORM = "train/gradient_norm"

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")


def task_of(model: PreTrainedModel, reference: Reference, **changes: Any) -> DpoPolicyTask:
    settings: dict[str, Any] = {
        "layout": SHARED,
        "objective": PreferenceObjective(),
        "optimizer": AdamWConf(lr=1e-3, schedule="constant", weight_decay=0.0),
        "total_steps": 100,
        **changes,
    }
    return DpoPolicyTask(model, reference=reference, **settings)


def trained(
    task: DpoPolicyTask,
    folder: Path,
    batches: int,
    *,
    stop_after: int | None = None,
    table: torch.Tensor | None = None,
    accumulate: int = 1,
    every: int = 1,
    **data_changes: Any,
) -> PreferenceLog:
    """Trains on the pairs, or goes on with what `folder` holds."""
    settings: dict[str, Any] = {"layout": task.layout.name, "batch_size": 2, "seed": 5}
    data = PreferenceDataModule(
        PAIRS, PAIRS[:3], **{**settings, **data_changes}, accumulate=accumulate,
        train_reference=table, valid_reference=None if table is None else table[:3],
    )  # fmt: skip
    data.total_batches = batches
    last = folder / "last.ckpt"
    if last.exists():
        state = read_checkpoint(last)
        data.start_batch = state["loops"]["fit_loop"]["epoch_loop.batch_progress"]["current"][
            "completed"
        ]
    log = PreferenceLog(every)
    trainer = Trainer(
        max_epochs=1,
        limit_train_batches=stop_after if stop_after else 1.0,
        callbacks=[log, Milestones(folder, batches, validate_every=3)],
        plugins=[SafeCheckpointIO()],
        accumulate_grad_batches=accumulate,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        accelerator="cpu",
        num_sanity_val_steps=0,
        limit_val_batches=1.0,
        check_val_every_n_epoch=None,
        val_check_interval=10**9,
    )
    trainer.fit(task, data, ckpt_path=last if last.exists() else None, weights_only=True)
    return log


def losses(log: PreferenceLog) -> list[float]:
    return [point["train/loss"] for point in log.history if "train/loss" in point]


def loss_of(task: DpoPolicyTask, batch: PairBatch, number: int = 0) -> float:
    return float(task.training_step(batch, number).detach())


def gradients(task: DpoPolicyTask) -> torch.Tensor:
    return torch.cat([each.grad.flatten() for each in task.trained if each.grad is not None])


def adapted(seed: int = 0) -> Any:
    config = peft.LoraConfig(r=4, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    torch.manual_seed(seed)
    return peft.get_peft_model(make("llama"), config)


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


def test_layouts_train_alike(tmp_path: Path) -> None:
    found = []
    for layout in (SHARED, Layout("concat", "fused"), Layout("full", "module")):
        model = make("gpt2")
        task = task_of(model, CopyReference(model, layout.head), layout=layout)
        found.append(losses(trained(task, tmp_path / layout.name, 6)))
    assert found[1] == pytest.approx(found[0], abs=1e-5)
    assert found[2] == pytest.approx(found[0], abs=1e-5)


@pytest.mark.parametrize("accumulate", [1, 2])
def test_resumed_mid_epoch_it_goes_on_as_if_never_stopped(tmp_path: Path, accumulate: int) -> None:
    """Stopped after 6 of 11 batches, in the second epoch: losses and figures are bit-equal."""
    settings: dict[str, Any] = {"dropout": True, "seed": 9}

    def start() -> DpoPolicyTask:
        model = make("distance_dot", dropout=0.1)
        table = tabulate_log_probs(make("distance_dot"), PAIRS, SHARED)
        assert table.shape == (8, 2)
        return task_of(model, CopyReference(make("distance_dot")), **settings)

    whole = trained(start(), tmp_path / "whole", 11, accumulate=accumulate)
    trained(start(), tmp_path / "part", 11, stop_after=6, accumulate=accumulate)
    rest = trained(start(), tmp_path / "part", 11, accumulate=accumulate)
    assert len(losses(whole)) == 11
    assert rest.history == whole.history
    weights = [read_checkpoint(tmp_path / n / "last.ckpt")["state_dict"] for n in ("whole", "part")]
    assert all(torch.equal(weights[0][key], weights[1][key]) for key in weights[0])


def test_accumulating_is_one_large_batch() -> None:
    """Four batches of two, each loss over four, give loss and gradient of one batch of eight."""

    def judged(sizes: list[int]) -> tuple[float, torch.Tensor]:
        model = make("distance_dot").double()
        task = task_of(model, CopyReference(make("distance_dot", seed=1).double()))
        first, total = 0, 0.0
        for size in sizes:
            batch = arrange(PAIRS[first : first + size], "shared")
            loss = task.training_step(batch, 0) / len(sizes)
            loss.backward()
            first, total = first + size, total + float(loss.detach())
        return total, gradients(task)

    whole, parts = judged([8]), judged([2, 2, 2, 2])
    assert parts[0] == pytest.approx(whole[0], abs=1e-9)
    assert torch.allclose(parts[1], whole[1], rtol=0, atol=1e-9)


def test_two_processes_with_unequal_parts_count_each_pair_alike() -> None:
    """5 pairs on 2 processes: gradients averaged over them are those of one batch of 5."""
    model = make("distance_dot").double()
    reference = CopyReference(make("distance_dot", seed=1).double())

    def gradient(pairs: list[TokenizedPair], share: float) -> torch.Tensor:
        task = task_of(copy.deepcopy(model), reference)
        task.training_step(arrange(pairs, "shared", share=share), 0).backward()
        return gradients(task)

    whole = gradient(PAIRS[:5], 1 / 5)
    parts = (gradient(PAIRS[0:5:2], 2 / 5) + gradient(PAIRS[1:5:2], 2 / 5)) / 2
    assert torch.allclose(parts, whole, rtol=0, atol=1e-9)


def test_a_pair_s_weight_scales_its_loss() -> None:
    model = make("llama")
    task = task_of(model, CopyReference(make("llama", seed=1)))
    heavy = [
        TokenizedPair(p.prompt_ids, p.chosen_ids, p.rejected_ids, None, p.row, 3.0) for p in PAIRS
    ]
    plain, scaled = (loss_of(task, arrange(pairs, "shared")) for pairs in (PAIRS, heavy))
    assert scaled == pytest.approx(3 * plain, abs=1e-12)


def test_the_mode_of_the_policy_is_set(tmp_path: Path) -> None:
    """A loaded model comes in evaluation mode, a new one in training mode: neither decides."""
    for dropout in (False, True):
        for training in (False, True):
            model = make("llama").train(training)
            task = task_of(model, CopyReference(model), dropout=dropout)
            modes = []
            model.model.layers[0].register_forward_hook(lambda m, *_: modes.append(m.training))  # noqa: B023
            trained(task, tmp_path / f"{dropout}{training}", 3)
            assert modes[:3] == [dropout] * 3
            assert not any(modes[-2:])


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


def test_figures_by_hand() -> None:
    """Rewards are β times the ratios that `forward` gives; accuracy counts the larger ones."""
    model = make("llama")
    task = task_of(model, CopyReference(make("llama", seed=1)), statistics_every=1)
    batch = arrange(PAIRS, "shared")
    task.training_step(batch, 0)
    means = task.training_means.take()
    with torch.no_grad():
        pairs, tokens = task(batch, statistics=True)
    ratio = pairs.chosen_ratio
    assert means["rewards/chosen"] == pytest.approx(0.1 * float(ratio.mean()))
    assert means["rewards/margins"] == pytest.approx(
        means["rewards/chosen"] - means["rewards/rejected"]
    )
    assert means["rewards/accuracies"] == float((pairs.margin > 0).double().mean())
    assert means["logps/rejected"] == pytest.approx(float(pairs.rejected.mean()))
    assert means["displacement/chosen_fell"] == float((ratio < 0).double().mean())
    per_token = -ratio / torch.tensor([len(pair.chosen_ids) for pair in PAIRS])
    assert means["displacement/kl_chosen"] == pytest.approx(float(per_token.mean()))
    assert tokens.entropy is not None
    assert means["entropy"] == pytest.approx(float(tokens.entropy.mean()), rel=1e-6)
    assert {"logits/chosen", "logits/rejected", "mean_token_accuracy", "loss"} <= set(means)


def test_token_figures_come_at_their_pace() -> None:
    model = make("llama")
    task = task_of(model, FreeReference(), statistics_every=2)
    task.training_step(arrange(PAIRS, "shared"), 0)
    assert "entropy" not in task.training_means.take()
    task.training_step(arrange(PAIRS, "shared"), 1)
    assert "entropy" in task.training_means.take()


def test_displacement_is_warned_of_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """apo_down asks for just that: both answers fall, the rejected one more."""
    model = make("llama")
    objective = PreferenceObjective({"apo_down": 1.0}, beta=0.05)
    task = task_of(model, CopyReference(model), objective=objective)
    with caplog.at_level(logging.WARNING, logger="infinito"):
        log = trained(task, tmp_path, 12)
    held_out = [point for point in log.history if "val/rewards/margins" in point]
    displaced = [p for p in held_out if p["val/rewards/margins"] > 0 > p["val/rewards/chosen"]]
    warnings = [each for each in caplog.messages if "less likely than under" in each]
    assert displaced
    assert len(warnings) == 1


def test_a_loss_that_is_not_finite_stops_and_leaves_the_batch(tmp_path: Path) -> None:
    model = make("llama")
    table = tabulate_log_probs(model, PAIRS, SHARED)
    table[3, 0] = math.nan
    task = task_of(model, PrecomputedReference(), fault_folder=tmp_path / "faults")
    before = [each.detach().clone() for each in model.parameters()]
    with pytest.raises(NonFiniteError, match=r"the loss is nan on the pairs of rows .*3"):
        trained(task, tmp_path, 1, table=table, batch_size=8)
    saved = json.loads((tmp_path / "faults/batch_not_finite_rank0.json").read_text())
    assert sorted(saved["rows"]) == list(range(8))
    assert sum(len(part) for part in saved["input_ids"]) == 8
    assert all(torch.equal(a, b) for a, b in zip(before, model.parameters(), strict=True))


@pytest.mark.parametrize(("batches", "batch_size"), [(1, 2), (4, 2), (3, 3)])
def test_a_step_is_the_mean_over_its_pairs(batches: int, batch_size: int, tmp_path: Path) -> None:
    """Through Lightning: a step of one batch of four asked for, of four, and of unlike ones."""
    norms = []
    for accumulate, size in ((4, batch_size), (1, 8 if batches > 1 else batch_size)):
        model = make("llama")
        log = trained(
            task_of(model, CopyReference(model)),
            tmp_path / str(accumulate),
            batches if accumulate > 1 else 1,
            accumulate=accumulate,
            batch_size=size,
        )
        norms += [each[NORM] for each in log.history if NORM in each]
    assert norms[0] == pytest.approx(norms[1], rel=1e-5)


def test_what_is_left_of_the_batches_is_logged(tmp_path: Path) -> None:
    model = make("llama")
    log = trained(task_of(model, CopyReference(model)), tmp_path, 5, every=3)
    assert [each["step"] for each in log.history if "train/loss" in each] == [3, 5]


def test_what_references_need_is_said() -> None:
    with pytest.raises(ConfigError, match="adapter_off` needs a policy with adapters"):
        AdapterOffReference(make("llama"))
    with pytest.raises(ConfigError, match="the pairs have no log-probabilities"):
        PrecomputedReference()(arrange(PAIRS, "shared"))


def test_float32_agrees_with_float64(tmp_path: Path) -> None:
    """Sixteen steps at 1e-4: the losses of both types differ by at most 2e-6."""
    found = []
    for name, double in (("f32", False), ("f64", True)):
        model = make("distance_dot")
        model = model.double() if double else model
        settings = AdamWConf(lr=1e-4, schedule="constant", weight_decay=0.0)
        task = task_of(model, CopyReference(model), optimizer=settings)
        found.append(losses(trained(task, tmp_path / name, 16)))
    assert found[0] == pytest.approx(found[1], abs=2e-6)
    assert found[0][-1] < math.log(2)
