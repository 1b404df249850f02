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
from infinito.training.module.batch_loss import WindowLoss
from infinito.training.module.language_model import LanguageModelTask


def test_units_by_hand() -> None:
    """2 nats a token, 4 bytes a token: 2 / ln 2 / 4 = 0.7213 bits; half a word a token: e⁴."""
    report = loss_report(2.0, TextUnits(4.0, 0.5), "val")
    assert report["val/perplexity"] == pytest.approx(math.e**2)
    assert report["val/bits_per_byte"] == pytest.approx(0.72135, abs=1e-5)
    assert report["val/word_perplexity"] == pytest.approx(math.e**4)
    assert "val/word_perplexity" not in loss_report(2.0, TextUnits(4.0), "val")


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
        LanguageModelTask(model, AdamWConf(), 10, TextUnits(1.0), loss=WindowLoss(chunked=chunked))
        for chunked in (False, True)
    )
    torch.testing.assert_close(chunked.training_step(batch, 0), plain.training_step(batch, 0))
