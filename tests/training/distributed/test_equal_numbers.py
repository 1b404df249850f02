"""Two processes with half the batch each train, measure and log what one process does.

The table of `CASES` is what is claimed: each task and objective that takes several processes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from infinito.cli.composition import check
from infinito.models.checkpoint_file import read_checkpoint
from infinito.paths import conf_dir
from tests.conftest import TINY
from tests.ranks import Ranks

STEPS = (
    "trainer.max_steps=50", "trainer.validate_every=25", "trainer.log_every=10",
    "trainer.validation_batches=4",
)  # fmt: skip
DPO = (
    "+experiment=dpo", "data.block_size=200", "dpo.warmup_steps=4", "dpo.answers=0",
    "model.dim=16", "model.layers=1", "attention.heads=2", "tokenizer.vocab_size=300",
    "trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress_bar=false",
)  # fmt: skip
CASES = {
    "language, adamw": (),
    "language, muon": ("optimizer=muon",),
    "language, accumulated and clipped": ("trainer.accumulate=2", "optimizer.clip_norm=0.5"),
    "language, chunked": ("trainer.chunked_loss=true",),
    "language, plateau": ("optimizer.schedule=plateau", "optimizer.plateau_patience=0"),
    "language_phi": ("objective=language_phi", "objective.lambda_phi=1", "objective.band=[7,7.5]"),
    "language_phi, watching": ("objective=language_phi", "objective.lambda_phi=0"),
    "dpo, sigmoid": DPO,
    "dpo, a frozen copy": (*DPO, "dpo.reference=copy"),
}
SPEED = ("tokens_per_s",)
LARGEST_DIFFERENCE = {"language, muon": 2e-2}
"""Of a weight, where it is not 1e-5: torch's Muon rounds gradients to bfloat16, so that the last
bits of a sum decide about steps of up to 0.02."""


def logged(folder: Path) -> dict[str, list[tuple[int, float]]]:
    """Return all that TensorBoard shows but speeds."""
    events = EventAccumulator(str(folder)).Reload()
    return {
        name: [(each.step, each.value) for each in events.Scalars(name)]
        for name in events.Tags()["scalars"]
        if not name.endswith(SPEED)
    }


def summary(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "summary.json").read_text())
    return {name: found[name] for name in found if name.startswith(("val/", "train/", "best"))}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("case", CASES)
def test_two_processes_equal_one(text_file: Path, tmp_path: Path, case: str) -> None:
    base = () if DPO[0] in CASES[case] else (*TINY, f"data.path={text_file}")
    for name, processes in (("one", 1), ("two", 2)):
        conf = check(
            [
                *base, *CASES[case],
                "trainer=ddp", "trainer.epochs=null", *STEPS, "trainer.accelerator=cpu",
                "trainer.threads=1", "trainer.progress_bar=false",
                f"trainer.devices={processes}", f"data.cache_dir={tmp_path / 'cache'}",
                f"data.batch_size={8 // processes}", f"data.eval_batch_size={16 // processes}",
            ],
            conf_dir(),
        )  # fmt: skip
        ranks = Ranks(conf, tmp_path / name, processes)
        assert ranks.join() == [0] * processes, ranks.printed()
    checkpoints = [
        read_checkpoint(tmp_path / name / "checkpoints/last.ckpt") for name in ("one", "two")
    ]
    one, two = (each["state_dict"] for each in checkpoints)
    assert max(
        float((one[name] - two[name]).abs().max()) for name in one
    ) <= LARGEST_DIFFERENCE.get(case, 1e-5)
    curves = [logged(tmp_path / name) for name in ("one", "two")]
    assert set(curves[0]) == set(curves[1])
    for name, points in curves[0].items():
        steps, values = zip(*points, strict=True)
        other_steps, others = zip(*curves[1][name], strict=True)
        assert steps == other_steps, name
        rough = case in LARGEST_DIFFERENCE
        near: dict[str, Any] = {"rel": 2e-2, "abs": 5e-3} if rough else {"rel": 1e-3, "abs": 1e-4}
        assert others == pytest.approx(values, **near), name
    assert summary(tmp_path / "two") == pytest.approx(
        summary(tmp_path / "one"), rel=2e-2 if case in LARGEST_DIFFERENCE else 1e-3
    )
