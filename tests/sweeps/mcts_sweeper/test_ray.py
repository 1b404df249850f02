"""Sweeps on a Ray cluster of this machine, with workers and drivers that are killed."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from infinito.sweeps.record.journal import read
from tests.sweeps.mcts_sweeper.tiny_sweeps import (
    ENOUGH_S,
    Tiny,
    arguments,
    states,
    wait_for_trial,
)

pytest.importorskip("ray", reason="needs infinito[ray]")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
"""Opens the cluster, and keeps others out."""

PLAIN_APP = """
import os, pathlib, sys
import hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import OmegaConf

CONFIG = {"defaults": ["_self_", {"override hydra/job_logging": "none"}], "x": 0}
ConfigStore.instance().store(name="plain", node=OmegaConf.create(CONFIG))


@hydra.main(config_path=None, config_name="plain", version_base="1.3")
def main(config):
    folder = pathlib.Path(HydraConfig.get().runtime.output_dir)
    (folder / "place").write_text(f"{folder}\\n{os.getcwd()}\\n{os.getpid()}")
    if config.x == 1 and folder.name == "1":
        os.kill(os.getpid(), 9)
    if config.x == 2:
        sys.exit("no worker survives this")
    return config.x


if __name__ == "__main__":
    main()
"""


@pytest.fixture
def environment(environment: dict[str, str]) -> dict[str, str]:
    return {**environment, **TOKEN}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, psutil.Process]]:
    """Starts a cluster of two workers elsewhere than the sweeps; its address and first process."""
    log = tmp_path_factory.mktemp("cluster") / "log"
    with log.open("w") as file:
        head = subprocess.Popen(
            [
                sys.executable, "-m", "ray.scripts.scripts", "start", "--head", "--block",
                "--port=0", "--num-cpus=2", "--include-dashboard=false", "--disable-usage-stats",
            ],
            cwd=log.parent,
            env={**os.environ, **TOKEN},
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )  # fmt: skip

    def address() -> str | None:
        assert head.poll() is None, log.read_text()
        found = re.search(r"--address='([^']+)'", log.read_text())
        return found[1] if found else None

    process = psutil.Process(head.pid)
    yield wait(address), process
    for each in [process, *process.children(recursive=True)]:
        each.kill()
    head.wait()


def wait(find: Callable[[], Any]) -> Any:
    """Return what `find` finds, once that is something."""
    until_s = time.monotonic() + ENOUGH_S
    while not (found := find()):
        assert time.monotonic() < until_s
        time.sleep(0.02)
    return found


def events_of(folder: Path, kind: str) -> list[dict[str, Any]]:
    return [event for event in read(folder / "journal.jsonl") if event["event"] == kind]


def lose_a_worker(head: psutil.Process, folder: Path) -> None:
    """Kill workers that run a trial until the sweep has noticed one."""
    before = len(events_of(folder, "lost"))

    def working() -> list[psutil.Process]:
        children = head.children(recursive=True)
        return [each for each in children if title(each).startswith("ray::job")]

    def kill() -> bool:
        if len(events_of(folder, "lost")) > before:
            return True
        for each in working()[:1]:
            each.kill()
            time.sleep(0.5)
        return False

    wait(kill)


def title(process: psutil.Process) -> str:
    """Return a process's command as Ray rewrites it; nothing for one that has ended."""
    try:
        return " ".join(process.cmdline())
    except psutil.Error:
        return ""


def test_a_sweep_on_a_cluster_survives_lost_workers_and_killed_drivers(
    cluster: tuple[str, psutil.Process], tiny: Tiny, tmp_path: Path, environment: dict[str, str]
) -> None:
    address, head = cluster
    command = (
        "hydra/launcher=ray", f"hydra.launcher.address='{address}'", "hydra.sweeper.n_jobs=2",
        "seconds=0.5", "claim=true",
    )  # fmt: skip
    folder = tmp_path / "swept"
    for killed_at in (4, 11):
        resume = ["hydra.sweeper.resume=swept"] if killed_at > 4 else []
        with (tmp_path / f"driver{killed_at}").open("w") as output:
            driver = subprocess.Popen(
                arguments(*command, *resume, trials=20, folder="swept"),
                cwd=tmp_path,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        wait_for_trial(folder, killed_at)
        lose_a_worker(head, folder)
        wait_for_trial(folder, killed_at + 3)
        driver.send_signal(signal.SIGKILL)
        driver.wait()
    finished = tiny(*command, "hydra.sweeper.resume=swept", trials=20, folder="ignored")
    assert finished.returncode == 0, finished.stderr
    assert states(folder) == {"finished": list(range(20)), "failed": [], "running": []}
    ends = Counter(event["number"] for event in events_of(folder, "finish"))
    assert ends == dict.fromkeys(range(20), 1)
    losses = events_of(folder, "lost")
    assert len(losses) >= 2
    assert losses[0]["error"] == "its Ray worker was lost (WorkerCrashedError)"
    outcomes = {path.stem.partition(".")[0] for path in (folder / "outcomes").iterdir()}
    assert outcomes == set(map(str, range(20)))
    assert not (tmp_path / "ignored").exists()


def test_batches_on_a_cluster_of_the_sweeps_own_are_those_of_the_basic_launcher(
    tiny: Tiny, tmp_path: Path
) -> None:
    batches = (
        "hydra.sweeper.n_jobs=2", "hydra.sweeper.asynchronous=false", "crash=[1]",
        "hydra.sweeper.trial_timeout_s=60",
    )  # fmt: skip
    assert tiny(*batches, trials=4, folder="basic").returncode == 0
    own = ("hydra/launcher=ray", "hydra.launcher.cluster_cpus=2")
    finished = tiny(*batches, *own, trials=4, folder="ray")
    assert finished.returncode == 0, finished.stderr
    assert states(tmp_path / "ray") == states(tmp_path / "basic")
    trials = {name: (tmp_path / name / "trials.csv").read_text() for name in ("basic", "ray")}
    assert proposed(trials["ray"]) == proposed(trials["basic"])


def proposed(table: str) -> list[str]:
    """Return a table of trials without the time that each took."""
    header, *rows = (line.split(",") for line in table.splitlines())
    timed = header.index("seconds")
    return [",".join(row[:timed] + row[timed + 1 :]) for row in rows]


def test_a_plain_sweep_runs_a_lost_job_again_beside_what_it_left(
    cluster: tuple[str, psutil.Process], tmp_path: Path
) -> None:
    """Job 1 kills its worker at first; job 2 ends it each time, and fails the sweep in the end."""
    (tmp_path / "app.py").write_text(PLAIN_APP)

    def sweep(values: str, folder: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                sys.executable, "app.py", "-m", f"x={values}", "hydra/launcher=ray",
                f"hydra.launcher.address='{cluster[0]}'", "hydra.launcher.retries=1",
                f"hydra.sweep.dir={folder}",
            ],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env={**os.environ, **TOKEN, "HYDRA_FULL_ERROR": "1"},
        )  # fmt: skip

    finished = sweep("0,1", "plain")
    assert finished.returncode == 0, finished.stderr
    assert "run 1: its Ray worker was lost (WorkerCrashedError); it runs again in 1.2" in (
        finished.stdout + finished.stderr
    )
    assert {path.name for path in (tmp_path / "plain").glob("[0-9]*")} == {"0", "1", "1.2"}
    for name in ("0", "1.2"):
        folder, place, _ = (tmp_path / "plain" / name / "place").read_text().splitlines()
        assert (folder, place) == (str(tmp_path / "plain" / name), str(tmp_path))
    failed = sweep("2,0", "stopped")
    assert failed.returncode == 1
    assert "SweepError: run 0: its Ray worker was stopped (SystemExit), 2 times;" in failed.stderr
    assert (tmp_path / "stopped/1/place").exists()
    assert {path.name for path in (tmp_path / "stopped").glob("0*")} == {"0", "0.2"}


@pytest.mark.parametrize(
    ("override", "fault"),
    [
        (
            "hydra.launcher.num_cpus=3",
            r"`hydra\.launcher\.num_cpus`=3: no machine of the Ray cluster has that much; "
            r"there are: 2 CPU",
        ),
        (
            "+hydra.launcher.resources.tpu=1",
            r"`hydra\.launcher\.resources\.tpu`=1: no machine .* there are: 2 CPU, 0 tpu",
        ),
    ],
)
def test_a_cluster_that_cannot_run_the_jobs_is_refused(
    cluster: tuple[str, psutil.Process], tiny: Tiny, override: str, fault: str
) -> None:
    on_cluster = ("hydra/launcher=ray", f"hydra.launcher.address='{cluster[0]}'")
    refused = tiny(*on_cluster, override)
    assert refused.returncode != 0
    assert "ConfigError" in refused.stderr
    assert re.search(fault, refused.stderr.replace("\n", " ")), refused.stderr
