"""The training task: losses in their units, a step that refuses what is not finite."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infinito.config import AdamWConf
from infinito.errors import NonFiniteError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.distance_lm.model import DistanceLMForCausalLM
from infinito.objectives.units import TextUnits, loss_report
from infinito.seeding import seed_device
from infinito.training.language_model import LanguageModelTask
from infinito.training.optimizer.rate_schedule import Plateau, rate_factor


def test_units_by_hand() -> None:
    """2 nats a token, 4 bytes a token: 2 / ln 2 / 4 = 0.7213 bits; half a word a token: e⁴."""
    report = loss_report(2.0, TextUnits(4.0, 0.5), "val")
    assert report["val/perplexity"] == pytest.approx(math.e**2)
    assert report["val/bits_per_byte"] == pytest.approx(0.72135, abs=1e-5)
    assert report["val/word_perplexity"] == pytest.approx(math.e**4)
    assert "val/word_perplexity" not in loss_report(2.0, TextUnits(4.0), "val")


def test_decay_reaches_matrices_only() -> None:
    model = DistanceLMForCausalLM(
        DistanceLMConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1)
    )
    task = LanguageModelTask(model, AdamWConf(), 10, TextUnits(1.0))
    optimizer, _ = task.optimizer_and_schedule()
    for group in optimizer.param_groups:
        assert {p.ndim > 1 for p in group["params"]} == {group["weight_decay"] > 0}
    counted = sum(len(group["params"]) for group in optimizer.param_groups)
    assert counted == len(list(model.parameters()))


def test_cosine_with_warm_up_by_hand() -> None:
    """4 steps of warm-up rise by fifths; half-way to 24 the cosine is half-way from 1 to 0.1."""
    factor = rate_factor("cosine", 4, 24, 0.1)
    assert [factor(step) for step in range(4)] == pytest.approx([0.2, 0.4, 0.6, 0.8])
    assert factor(4) == 1.0
    assert factor(14) == pytest.approx(0.55)
    assert factor(24) == factor(99) == pytest.approx(0.1)
    assert rate_factor("constant", 0, 24, 0.1)(20) == 1.0


def test_plateau_by_hand() -> None:
    plateau = Plateau(factor=0.5, patience=1)
    scales = []
    for loss in (3.0, 2.0, 2.0, 2.5, 1.0, 1.5, 1.5):
        plateau.judge(loss)
        scales.append(plateau.scale)
    assert scales == [1, 1, 1, 0.5, 0.5, 0.5, 0.25]


def test_seeding_a_step_is_torchs_own_seeding() -> None:
    seed_device(7, torch.device("cpu"))
    drawn = torch.rand(3)
    torch.manual_seed(7)
    assert torch.equal(drawn, torch.rand(3))


@pytest.mark.parametrize("lr", ["1e38"])
def test_an_infinite_loss_stops_before_the_step(
    trained: Callable[..., Path], tmp_path: Path, lr: str
) -> None:
    with pytest.raises(NonFiniteError, match=r"step \d+ .*Try a smaller `optimizer.lr`"):
        trained(f"optimizer.lr={lr}", "optimizer.clip_norm=null", "trainer.max_steps=30")
    for path in tmp_path.glob("run/checkpoints/*.ckpt"):
        for value in read_checkpoint(path)["state_dict"].values():
            assert torch.isfinite(value).all()


def test_a_structured_text_is_learnt(trained: Callable[..., Path]) -> None:
    folder = trained("trainer.max_steps=150", "trainer.validate_every=150", "optimizer.lr=0.01")
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["val/loss"] < 2.0 < math.log(30)


def test_a_chunked_loss_is_the_same_loss() -> None:
    model = DistanceLMForCausalLM(
        DistanceLMConfig(vocab_size=8, hidden_size=8, num_hidden_layers=1)
    )
    batch = torch.randint(8, (2, 9), generator=torch.Generator().manual_seed(0))
    plain, chunked = (
        LanguageModelTask(model, AdamWConf(), 10, TextUnits(1.0), chunked_loss=chunked)
        for chunked in (False, True)
    )
    torch.testing.assert_close(chunked.training_step(batch, 0), plain.training_step(batch, 0))
