"""Heartbeats: a driver is dead when it has ended, was killed, or is silent for too long."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import pytest

from infinito.sweeps.driving.drivers import FOLDER, Drivers
from infinito.sweeps.settings import SHORTEST_HEARTBEAT_S


class Clock:
    def __init__(self) -> None:
        self.now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def beat_elsewhere(folder: Path, count: int) -> None:
    """A heartbeat as a driver of another machine leaves it."""
    (folder / FOLDER).mkdir(exist_ok=True)
    (folder / FOLDER / "other").write_text(f"{count} 1 another-boot/pid:[1]\n")


def test_a_silent_driver_is_dead_by_the_clock_of_who_looks(tmp_path: Path) -> None:
    clock = Clock()
    drivers = Drivers(tmp_path, heartbeat_s=60, clock=clock)
    beat_elsewhere(tmp_path, 1)
    assert not drivers.is_dead("other")
    clock.now_s += 59
    assert not drivers.is_dead("other")
    beat_elsewhere(tmp_path, 2)
    clock.now_s += 59
    assert not drivers.is_dead("other")
    clock.now_s += 61
    assert drivers.is_dead("other")
    beat_elsewhere(tmp_path, 3)
    assert not drivers.is_dead("other")


def test_a_driver_that_ended_has_no_heartbeat(tmp_path: Path) -> None:
    mine = Drivers(tmp_path)
    with Drivers(tmp_path) as other:
        assert not mine.is_dead(other.name)
        assert not other.is_dead(other.name)
    assert mine.is_dead(other.name)
    assert not any((tmp_path / FOLDER).iterdir())


@pytest.mark.skipif(not Drivers(Path()).place, reason="this system names no process namespace")
def test_a_driver_killed_on_this_machine_is_dead_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path\n"
        "from infinito.sweeps.driving.drivers import Drivers\n"
        "with Drivers(Path(sys.argv[1])) as mine:\n"
        "    print(mine.name, flush=True)\n"
        "    time.sleep(600)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        name = other.stdout.readline().strip()
        mine = Drivers(tmp_path)
        assert not mine.is_dead(name)
        other.kill()
        other.wait()
        assert mine.is_dead(name)


def test_a_heartbeat_that_is_half_written_is_a_sign_of_life(tmp_path: Path) -> None:
    drivers = Drivers(tmp_path, clock=Clock())
    beat_elsewhere(tmp_path, 1)
    (tmp_path / FOLDER / "other").write_text("")
    assert not drivers.is_dead("other")


def test_a_living_driver_beats(tmp_path: Path) -> None:
    with Drivers(tmp_path, heartbeat_s=0.04) as mine:
        path = tmp_path / FOLDER / mine.name
        first, until_s = path.read_text(), time.monotonic() + 60
        while path.read_text() in {first, ""}:
            assert time.monotonic() < until_s
            time.sleep(0.01)
    assert SHORTEST_HEARTBEAT_S >= 5
