"""`task=pipeline` trains in three stages, measures each, and goes on where it was stopped."""

from __future__ import annotations

import json
import random
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from infinito import run as program
from infinito.cli.composition import check
from infinito.errors import InfinitoError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.paths import conf_dir

TINY = (
    *("pretrain:trainer.max_steps=4", "pretrain:trainer.validate_every=2"),
    *("pretrain:model.dim=32", "pretrain:model.layers=1", "pretrain:data.max_bytes=30000"),
    *("pretrain:optimizer.warmup_steps=0", "sft:optimizer.warmup_steps=0"),
    *("sft:data.skills=[count]", "sft:data.items=100", "sft:data.held_out_items=20"),
    *("sft:trainer.max_steps=80", "sft:trainer.validate_every=40", "dpo:trainer.max_steps=3"),
)


def command(cache: Path, *overrides: str) -> list[str]:
    given = f"stage_overrides={[*TINY, *overrides]}"
    settings = ("trainer.progress_bar=false", "trainer.threads=1", "trainer.accelerator=cpu")
    return ["+experiment=chat_from_scratch", *settings, f"data.cache_dir={cache}", given]


def run(folder: Path, *overrides: str) -> None:
    program.execute(check(command(folder.parent / "cache", *overrides), conf_dir()), folder)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for stage in ("pretrain", "sft", "dpo"):
        state = read_checkpoint(folder / stage / "checkpoints/last.ckpt")["state_dict"]
        found |= {f"{stage}/{name}": value for name, value in state.items()}
    return found


@pytest.mark.slow
def test_stages_are_measured_and_a_stopped_pipeline_goes_on_bit_equal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(tmp_path / "whole")
    assert re.search(r"task=chat checkpoint=\S*/whole/\w+  # talk to", capsys.readouterr().out)
    report = json.loads((tmp_path / "whole/report.json").read_text())
    assert list(report["stages"]) == ["pretrain", "sft", "dpo"]
    for stage in report["stages"].values():
        assert 0 <= stage["skills"]["count"]["accuracy"] <= 1
        assert 0 <= stage["preference_accuracy"] <= 1
        assert stage["minutes"] > 0
        assert len(stage["samples"]) == 10
    assert (tmp_path / "whole/report.html").is_file()

    with pytest.raises(InfinitoError, match="the stage dpo stopped"):
        run(tmp_path / "stopped", "dpo:dpo.beta=-1")
    values = (tmp_path / "stopped/config.yaml").read_text().replace("- dpo:dpo.beta=-1\n", "")
    (tmp_path / "stopped/config.yaml").write_text(values)
    program.execute(check([f"resume={tmp_path / 'stopped'}"], conf_dir()), tmp_path / "stopped")
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "stopped")
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


SAVED = ("*/checkpoints/last.ckpt", "*/summary.json", "own_pairs*.jsonl", "*_measured.json")
"""Files of a pipeline that tell how far it is."""

OFTEN = (
    *(f"{stage}:trainer.checkpoint_every=3" for stage in ("pretrain", "sft", "dpo")),
    *("pretrain:trainer.max_steps=20", "pretrain:trainer.validate_every=10"),
    "dpo:trainer.max_steps=9",
)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_ten_kills_anywhere_leave_the_same_weights(tmp_path: Path) -> None:
    """SIGKILL, ten times, in any stage or between two, as it falls; pairs and figures too."""
    run(tmp_path / "whole", *OFTEN)
    killed, draws = tmp_path / "killed", random.Random(0)
    begin = command(tmp_path / "cache", *OFTEN)
    process = start(tmp_path, *begin, f"hydra.run.dir={killed}")
    for _ in range(10):
        for _ in range(draws.randint(1, 3)):
            wait_for_progress(killed, process)
        time.sleep(draws.uniform(0, 0.4))
        process.kill()
        assert process.wait() == -signal.SIGKILL  # it had not finished
        process = start(tmp_path, f"resume={killed}")
    assert process.wait() == 0, (tmp_path / "errors").read_text()
    one, other = weights(tmp_path / "whole"), weights(killed)
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    for name in ("own_pairs.jsonl", "own_pairs_held_out.jsonl"):
        assert (tmp_path / "whole" / name).read_bytes() == (killed / name).read_bytes()
    reports = [
        json.loads((each / "report.json").read_text()) for each in (tmp_path / "whole", killed)
    ]
    assert reports[0]["verdicts"] == reports[1]["verdicts"]


def start(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    with (folder / "errors").open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "infinito.run", *words],
            cwd=folder,
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )


def wait_for_progress(folder: Path, process: subprocess.Popen[bytes]) -> None:
    """Wait until a file in `SAVED` is new, or the process has ended."""

    def read_state() -> set[tuple[str, int]]:
        found = set()
        for path in (path for pattern in SAVED for path in folder.glob(pattern)):
            with suppress(FileNotFoundError):  # it is being replaced
                found.add((str(path), path.stat().st_mtime_ns))
        return found

    before = read_state()
    while process.poll() is None and not read_state() - before:
        time.sleep(0.01)
