"""One training left alone, and one that is killed again and again and resumed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path


def whole_and_killed(
    folder: Path, arguments: Sequence[str], kills: int = 10, seed: int = 0
) -> tuple[Path, Path]:
    """The run folders of both, once both are at their end.

    A SIGKILL comes up to 0.4 seconds after a new `last.ckpt`: in a step, a validation or a save, as
    it falls.
    """
    whole, killed = folder / "whole", folder / "killed"
    assert _started(folder, *arguments, f"hydra.run.dir={whole}").wait() == 0
    draws = random.Random(seed)
    process = _started(folder, *arguments, f"hydra.run.dir={killed}")
    last = killed / "checkpoints/last.ckpt"
    for _ in range(kills):
        seen = last.stat().st_mtime_ns if last.exists() else 0
        while process.poll() is None:
            if last.exists() and last.stat().st_mtime_ns != seen:
                break
            time.sleep(0.002)
        time.sleep(draws.uniform(0, 0.4))
        process.kill()
        assert process.wait() == -signal.SIGKILL  # it had not finished
        process = _started(folder, f"resume={killed}")
    assert process.wait() == 0, (folder / "errors").read_text()
    return whole, killed


def _started(folder: Path, *words: str) -> subprocess.Popen[bytes]:
    with (folder / "errors").open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-m", "infinito.run", *words],
            cwd=folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            stdout=subprocess.DEVNULL,
            stderr=errors,
        )
