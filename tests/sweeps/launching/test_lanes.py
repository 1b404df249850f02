"""Which launcher runs trials in which lanes, and that lanes do not wait for each other."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

import pytest
from omegaconf import OmegaConf

from infinito.errors import ConfigError
from infinito.search.trials import Trial
from infinito.sweeps.launching.lanes import SerialLane, ThreadLanes, open_lanes
from infinito.sweeps.launching.launches import Launch
from infinito.sweeps.settings import MctsSweeperConf

BASIC = "hydra._internal.core_plugins.basic_launcher.BasicLauncher"
JOBLIB = "hydra_plugins.hydra_joblib_launcher.joblib_launcher.JoblibLauncher"
RAY = "hydra_plugins.infinito_ray.ray_launcher.RayLauncher"
SLURM = "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"


def make_launch(number: int) -> Launch:
    return Launch(Trial(number, {}), 1)


def write_jobs(launches: Sequence[Launch]) -> tuple[list[list[str]], int]:
    return [[launch.label] for launch in launches], launches[0].trial.number


def opened(target: str, workers: int = 3, **settings: Any) -> Any:
    config = OmegaConf.create({"hydra": {"launcher": {"_target_": target, "n_jobs": workers}}})
    settings = {"n_jobs": 4, **settings}
    return open_lanes(MctsSweeperConf(**settings), config, None, write_jobs)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("target", "settings", "kind", "count"),
    [
        (BASIC, {}, SerialLane, 1),
        (BASIC, {"isolate": True}, ThreadLanes, 4),
        (BASIC, {"isolate": True, "n_jobs": 1}, SerialLane, 1),
        (JOBLIB, {}, ThreadLanes, 3),
        (JOBLIB, {"n_jobs": 2}, ThreadLanes, 2),
        (JOBLIB, {"workers": 1}, SerialLane, 1),
        (RAY, {}, ThreadLanes, 4),
        (SLURM, {}, ThreadLanes, 4),
    ],
)
def test_a_launcher_has_the_lanes_that_it_allows(
    target: str, settings: dict[str, Any], kind: type[Any], count: int
) -> None:
    lanes: Any = opened(target, **settings)
    assert isinstance(lanes, kind)
    assert lanes.count == count


def test_other_launchers_run_batches() -> None:
    assert opened("other.Launcher") is None
    assert opened(BASIC, asynchronous=False) is None


def test_lanes_that_a_launcher_does_not_allow() -> None:
    with pytest.raises(
        ConfigError, match=r"asynchronous`=true, and the launcher is other\.Launcher"
    ):
        opened("other.Launcher", asynchronous=True)


def test_a_lane_ends_while_another_runs() -> None:
    gate = threading.Event()

    def run(launch: Launch) -> None:
        if launch.trial.number == 0:
            assert gate.wait(30)
        elif launch.trial.number == 2:
            raise OSError("lost")

    lanes = ThreadLanes([run, run])
    lanes.start(make_launch(0))
    lanes.start(make_launch(1))
    assert lanes.wait()[0].label == "1"
    lanes.start(make_launch(2))
    launch, fault = lanes.wait()
    assert (launch.label, str(fault)) == ("2", "lost")
    gate.set()
    launch, fault = lanes.wait()
    assert (launch.label, fault) == ("0", None)


def test_a_serial_lane_runs_in_the_thread_that_waits() -> None:
    threads = []
    lane = SerialLane(lambda _: threads.append(threading.current_thread()))
    lane.start(make_launch(0))
    assert lane.wait()[0].label == "0"
    assert threads == [threading.current_thread()]
