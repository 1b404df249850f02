"""`task=dpo dry_run=true`: what it says, and that it leaves nothing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from infinito import run as program
from infinito.cli.composition import check
from infinito.errors import ConfigError
from infinito.paths import conf_dir
from infinito.preferences.scoring.layouts import PairBatch
from infinito.training.length import dry_run, memory_need
from tests.preferences.test_training import OPTIONS


def run(folder: Path, *overrides: str) -> None:
    options = [each for each in OPTIONS if "vocab_size" not in each]
    place = f"data.cache_dir={folder / 'cache'}"
    program.execute(
        check([*options, place, "dry_run=true", *overrides], conf_dir()), folder / "run"
    )


def test_it_says_what_a_run_takes_and_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path, "trainer.accumulate=2")
    printed = " ".join(capsys.readouterr().out.split())
    for line in (
        r"steps \d",
        r"seconds a step \d",
        r"training \d+\.\d minutes",
        r"scoring pairs \d+\.\d minutes",
        r"answers before and after at most \d+\.\d minutes",
        r"peak memory [\d,]+ MiB",
    ):
        assert re.search(line, printed), line
    assert list(tmp_path.iterdir()) == []


def test_it_refuses_what_does_not_fit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory_need, "available_mib", lambda: 0.0)
    with pytest.raises(ConfigError, match=r"MiB free.*in_backward=true"):
        run(tmp_path)


def test_its_largest_step_is_taken_as_the_run_takes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps of the largest batches, one of the smallest."""
    sizes: list[int] = []
    take = dry_run.take_step

    def noting(task: object, optimizer: object, *batches: PairBatch) -> object:
        sizes.append(sum(batch.input_tokens for batch in batches))
        return take(task, optimizer, *batches)  # type: ignore[arg-type]

    monkeypatch.setattr("infinito.preferences.dry_run.take_step", noting)
    run(tmp_path, "optimizer.in_backward=true", "optimizer.clip_norm=null")
    assert sizes[0] == sizes[1] >= sizes[2]
    assert len(sizes) == 3
