"""The preference task: layouts, resumption, accumulation, weights, mode, types of float."""

from __future__ import annotations

import copy
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from infinito.config import AdamWConf
from infinito.models.checkpoint_file import read_checkpoint
from infinito.preferences.dpo_module import DpoPolicyTask
from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.reference.policies import CopyReference
from infinito.preferences.scoring.layout_probe import Layout
from infinito.preferences.scoring.layouts import arrange
from infinito.preferences.scoring.log_prob_table import tabulate_log_probs
from tests.preferences.dpo_module.toy_training import (
    PAIRS,
    SHARED,
    gradients,
    loss_of,
    losses,
    task_of,
    trained,
)
from tests.preferences.pair_models import make

NORM = "train/gradient_norm"

pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")


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
