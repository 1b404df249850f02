"""A run folder belongs to one run, and to one process at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from infinito.errors import ConfigError, ResumeError
from infinito.run_folder.folder import LOCK, folder_beside, in_use, record_config

HOLDER = """
import sys, time
from pathlib import Path
from infinito.run_folder.folder import in_use
with in_use(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_folder_that_a_process_trains_in_is_refused_until_it_dies(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        refused = pytest.raises(ResumeError, match=r"is in use: another process.*`resume=")
        with refused, in_use(tmp_path):
            pass
        holder.kill()
    assert (tmp_path / LOCK).exists(), "a killed process cleans nothing up"
    with in_use(tmp_path):
        pass
    assert not (tmp_path / LOCK).exists()


def test_a_taken_folder_keeps_its_configuration(tmp_path: Path) -> None:
    record_config(tmp_path, {"seed": 1}, ["seed=1"])
    with pytest.raises(ConfigError, match="already holds a run"):
        record_config(tmp_path, {"seed": 2}, [])
    assert (tmp_path / "config.yaml").read_text() == "seed: 1\n"
    assert {path.name for path in tmp_path.iterdir()} == {"config.yaml", "overrides.yaml"}


def test_measurements_of_a_model_lie_in_the_folder_of_its_run(tmp_path: Path) -> None:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    checkpoint = str(run / "checkpoints/best.ckpt")
    assert folder_beside("evaluate", checkpoint, "test") is None, "no run yet"
    record_config(run, {"seed": 1}, [])
    assert folder_beside("evaluate", checkpoint, "test") == run / "evaluation_test"
    for name in ("evaluation_test", "evaluation_test_2"):
        (run / name).mkdir()
    assert folder_beside("evaluate", str(run), "test") == run / "evaluation_test_3"
    assert folder_beside("analyze", str(run), "valid") == run / "attention_valid"
    assert folder_beside("generate", str(run), "valid") is None
    assert folder_beside("evaluate", None, "valid") is None
