"""A longer run begun from another's stable part is bit for bit the longer run."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from infinito import run as program
from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.errors import ResumeError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.paths import conf_dir
from infinito.training.callbacks.interruption import Interrupted
from tests.training.test_resume import assert_same_run, logged_steps, resumed, stop_at

WSD = (
    "optimizer.schedule=wsd",
    "optimizer.warmup_steps=2",
    "optimizer.decay_share=0.5",
    "model.dropout=0.1",
)


def continued(stable: Path, folder: Path, *overrides: str) -> RunConf:
    conf = check([f"resume={stable}", *overrides], conf_dir())
    program.execute(conf, folder, overrides)
    return conf


@pytest.mark.parametrize("options", [(), ("optimizer=muon", "trainer.accumulate=2")])
def test_it_is_the_longer_run(
    trained: Callable[..., Path], tmp_path: Path, options: tuple[str, ...]
) -> None:
    whole = trained(*options, *WSD, "trainer.max_steps=20", folder="whole")
    short = trained(*options, *WSD, "trainer.max_steps=8", folder="short")
    stable = short / "checkpoints/stable.ckpt"
    before = (short / "checkpoints/last.ckpt").read_bytes()
    longer = tmp_path / "longer"
    conf = continued(stable, longer, "trainer.max_steps=20")
    assert conf.name == "base"
    assert_same_run(whole, longer)
    assert logged_steps(whole) == logged_steps(longer)
    assert (longer / "config.yaml").read_bytes() == (whole / "config.yaml").read_bytes()
    assert (short / "checkpoints/last.ckpt").read_bytes() == before


def test_it_can_be_continued_and_resumed_itself(
    trained: Callable[..., Path], tmp_path: Path
) -> None:
    whole = trained(*WSD, "trainer.max_steps=24", folder="whole")
    first = trained(*WSD, "trainer.max_steps=6", folder="first")
    continued(first / "checkpoints/stable.ckpt", tmp_path / "second", "trainer.max_steps=12")
    third = tmp_path / "third"
    continued(tmp_path / "second/checkpoints/stable.ckpt", third, "trainer.max_steps=24")
    program.execute(check([f"resume={third}"], conf_dir()), third)
    assert_same_run(whole, third)


def test_a_run_that_ended_before_the_save_makes_up_for_it(
    trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The last checkpoint is of step 6, where the stable part ends."""
    with monkeypatch.context() as patch:
        stop_at(patch, "training_step", 6, signal.SIGTERM)
        with pytest.raises(Interrupted):
            trained(*WSD, "trainer.max_steps=12")
    stable = tmp_path / "run/checkpoints/stable.ckpt"
    stable.unlink(missing_ok=True)
    resumed(tmp_path / "run")
    assert read_checkpoint(stable)["global_step"] == 6


def test_a_length_in_epochs_takes_the_place_of_one_in_steps(
    trained: Callable[..., Path],
) -> None:
    short = trained(*WSD, "trainer.max_steps=4")
    conf = check([f"resume={short}/checkpoints/stable.ckpt", "trainer.epochs=2"], conf_dir())
    assert (conf.trainer.epochs, conf.trainer.max_steps) == (2, None)


def test_what_cannot_be_continued_says_why(trained: Callable[..., Path], tmp_path: Path) -> None:
    folder = trained(*WSD, "trainer.max_steps=12")
    stable = folder / "checkpoints/stable.ckpt"
    with pytest.raises(ResumeError, match=r"say how long, e\.g\. `trainer\.max_steps"):
        check([f"resume={stable}"], conf_dir())
    with pytest.raises(ResumeError, match=r"optimizer\.lr: the run has"):
        check([f"resume={stable}", "trainer.max_steps=20", "optimizer.lr=0.5"], conf_dir())
    with pytest.raises(ResumeError, match=r"resume=.*stable\.ckpt` with the new length"):
        check([f"resume={folder}", "trainer.max_steps=20"], conf_dir())
    with pytest.raises(ResumeError, match=r"has 6 steps.* of 10 steps falls from step 5 on"):
        continued(stable, tmp_path / "shorter", "trainer.max_steps=10")
    other = trained(folder="other")
    with pytest.raises(ResumeError, match=r"there is no such file.*schedule=wsd"):
        check([f"resume={other}/checkpoints/stable.ckpt", "trainer.max_steps=20"], conf_dir())
