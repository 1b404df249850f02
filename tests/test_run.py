"""The program as a user meets it: its command line, its messages, its exit codes."""

from __future__ import annotations

import errno
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infinito import run as program
from infinito.config import RunConf
from infinito.errors import ConfigError
from infinito.process import share_cores
from infinito.run_folder.folder import record_config
from tests.conftest import TINY

Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def inside(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Command:
    """Runs the program's `main` in this process, in an empty folder; for what starts no job."""

    def call(*arguments: str) -> subprocess.CompletedProcess[str]:
        monkeypatch.chdir(tmp_path)
        monkeypatch.setattr("sys.argv", ["infinito", *arguments])
        code = 0
        capsys.readouterr()
        try:
            program.main()
        except SystemExit as stopped:
            code = int(stopped.code or 0)
        printed = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, code, printed.out, printed.err)

    return call


def test_help_names_groups_and_commands(command: Command) -> None:
    finished = command("--help")
    assert finished.returncode == 0
    for part in ("attention: cosine, dot, l1", "experiment: ", "resume=<run folder>"):
        assert part in finished.stdout


def test_faults_are_reported_without_a_folder_or_a_traceback(
    command: Command, tmp_path: Path
) -> None:
    finished = command("attention=l9", "optimizer.lrr=1")
    assert finished.returncode == ConfigError.exit_code
    assert "2 faults in the configuration" in finished.stderr
    assert "Traceback" not in finished.stderr
    assert list(tmp_path.iterdir()) == []


def test_configuration_can_be_shown_with_unusual_letters(command: Command) -> None:
    finished = command("name=ñandú", "experiment=debug", "--cfg", "job", "-p", "name")
    assert finished.stdout.strip() == "ñandú"


@pytest.mark.parametrize(
    ("load", "chosen", "wanted"),
    [(2.0, None, "PASSIVE"), (0.1, None, None), (2.0, "ACTIVE", "ACTIVE")],
    ids=["busy", "quiet", "the user's"],
)
def test_threads_that_wait_sleep_where_cores_are_shared(
    monkeypatch: pytest.MonkeyPatch, load: float, chosen: str | None, wanted: str | None
) -> None:
    environment = {} if chosen is None else {"OMP_WAIT_POLICY": chosen}
    monkeypatch.setattr(os, "environ", environment)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0.0, 0.0))
    share_cores()
    assert environment.get("OMP_WAIT_POLICY") == wanted


def test_torch_is_not_loaded_before_that() -> None:
    """OpenMP reads the variable when torch is loaded."""
    code = "import sys, infinito.run; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("words", ["--help", "task=list"])
def test_a_reader_that_has_enough_ends_the_program_quietly(words: str, tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "infinito.run", words],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == 1


def test_users_own_config_dir(inside: Command, tmp_path: Path) -> None:
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/wide.yaml").write_text("# @package _global_\nmodel:\n  dim: 256\n")
    finished = inside("--config-dir", "mine", "+experiment=wide", "--cfg", "job", "-p", "model")
    assert "dim: 256" in finished.stdout


@pytest.mark.parametrize(
    ("line", "completed"),
    [
        ("infinito attention=l", [f"attention={name}" for name in ("l1", "l2", "linf", "lp")]),
        ("infinito task=ev", ["task=evaluate"]),
    ],
)
def test_shell_completion_as_hydra_documents_it(
    tmp_path: Path, line: str, completed: list[str]
) -> None:
    environment = {**os.environ, "COMP_LINE": line, "COMP_POINT": "20"}
    code = "from infinito.run import main; main()"
    finished = subprocess.run(
        [sys.executable, "-c", code, "-sc", "query=bash"],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert finished.stdout.split() == completed


def test_a_wrong_task_lists_the_tasks_once(inside: Command) -> None:
    finished = inside("task=zzz")
    assert finished.stderr.count("calibrate_phi") == 1
    assert "did you mean `trial` or `train`?" in inside("task=trian").stderr


def test_rerun_by_unpickling_is_refused(inside: Command) -> None:
    finished = inside("--experimental-rerun", "x.pickle")
    assert finished.returncode == ConfigError.exit_code
    assert "unpickles a file" in finished.stderr


def test_training_evaluation_generation_and_comparison(
    command: Command, text_file: Path, tmp_path: Path
) -> None:
    arguments = [*TINY, f"data.path={text_file}", "data.cache_dir=cache", "name=été"]
    finished = command("-m", *arguments, "seed=0,1")
    assert finished.returncode == 0, finished.stderr
    folders = sorted(path.parent for path in tmp_path.glob("multirun/été/*/*/summary.json"))
    assert len(folders) == 2
    runs = [str(folder.relative_to(tmp_path)) for folder in folders]

    finished = command("task=evaluate", f"checkpoint={runs[0]}", "split=test", "name=eval")
    assert finished.returncode == 0, finished.stderr
    (report,) = (tmp_path / runs[0]).glob("*/evaluation.json")
    assert json.loads(report.read_text())["test/loss"] > 0

    finished = command(
        "task=generate", "checkpoint=last", "generation.max_new_tokens=5", stdin="a\nb\n"
    )
    assert finished.returncode == 0, finished.stderr
    lines = finished.stdout.splitlines()
    assert lines[0].startswith("a")
    assert len(finished.stdout) >= 2

    finished = command("task=compare", f"runs=[{','.join(runs)}]")
    assert finished.returncode == 0, finished.stderr
    assert "equal configurations but for the seed" in finished.stdout


def test_a_sweep_with_ddp_is_refused(inside: Command) -> None:
    finished = inside("-m", "+experiment=debug", "trainer=ddp", "seed=0,1")
    assert finished.returncode == ConfigError.exit_code
    assert "Use `trainer=default` in a sweep" in finished.stderr


def test_a_sweep_of_wrong_values_is_refused(inside: Command) -> None:
    finished = inside("-m", "+experiment=debug", "attention.heads=3,5")
    assert finished.returncode == ConfigError.exit_code
    assert "does not divide" in finished.stderr


def test_products_are_as_precise_as_the_command_says(
    configured: Callable[..., RunConf], tmp_path: Path
) -> None:
    """Also after a command that asked for less in the same process, as in a sweep."""
    found = []
    for number, overrides in enumerate((["trainer.matmul_precision=medium"], [])):
        program.execute(configured("trainer.max_steps=1", *overrides), tmp_path / str(number))
        found.append(torch.get_float32_matmul_precision())
    assert found == ["medium", "highest"]


def test_two_runs_never_share_a_folder(configured: Callable[..., RunConf], tmp_path: Path) -> None:
    record_config(tmp_path / "run", {"seed": 0}, [])
    with pytest.raises(ConfigError, match="already holds a run"):
        program.execute(configured(), tmp_path / "run")


@pytest.mark.parametrize("key", ["hydra.run.dir", "runs_dir"])
@pytest.mark.parametrize("many", [False, True], ids=["one run", "sweep"])
def test_a_folder_that_cannot_be_made_is_named(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    key: str,
    many: bool,
) -> None:
    (tmp_path / "taken").touch()
    key = "hydra.sweep.dir" if many and key == "hydra.run.dir" else key
    argv = [*["-m"] * many, "task=list", f"{key}={tmp_path / 'taken'}"]
    monkeypatch.setattr("sys.argv", ["infinito", *argv])
    with pytest.raises(SystemExit) as stopped:
        program.main()
    assert stopped.value.code == 1
    printed = capsys.readouterr().err
    assert re.fullmatch(r"error: Cannot make \S+/taken\S*: .*`runs_dir=<folder>`.*\n", printed)


def test_a_file_of_the_run_that_cannot_be_written_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.log").write_text("")
    error = OSError(errno.EROFS, "Read-only file system", str(tmp_path / "summary.json"))
    assert program._reported(error, tmp_path) == 1
    assert re.search(r"Cannot write .*summary\.json: Read-only", capsys.readouterr().err)
    error = OSError(errno.ENOENT, "No such file or directory", "/elsewhere")
    assert program._reported(error, tmp_path) == 1
    assert "This is not expected" in capsys.readouterr().err


def test_unexpected_errors_point_to_the_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run.log").write_text("")
    assert program._reported(KeyError("x"), tmp_path) == 1
    printed = capsys.readouterr().err
    assert "KeyError" in printed
    assert "run.log" in printed.replace("\n", "")


@pytest.mark.parametrize(
    "text", ["DefaultCPUAllocator: can't allocate memory: you tried", "CUDA out of memory. Tried"]
)
def test_too_little_memory_says_what_to_make_smaller(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    assert program._reported(RuntimeError(text), tmp_path) == 1
    printed = capsys.readouterr().err
    assert re.search(r"not enough memory: .*\n.*`data\.batch_size`", printed)
    assert "not expected" not in printed


def test_ctrl_c_before_training_is_no_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(program, "execute", interrupted)
    monkeypatch.setattr("sys.argv", ["infinito", "task=list", f"hydra.run.dir={tmp_path}/run"])
    with pytest.raises(SystemExit) as stopped:
        program.main()
    assert stopped.value.code == 130
    assert "Ctrl+C" in capsys.readouterr().err
