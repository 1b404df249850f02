"""Jobs as they are sent to a Ray worker: their folders, and what such a worker does with one."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from hydra._internal.callbacks import Callbacks
from hydra.conf import HydraConf
from hydra.core.singleton import Singleton
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf
from omegaconf.basecontainer import BaseContainer

from infinito.sweeps.launching.ray_jobs import Job, _run_pickled, compose_jobs
from infinito.sweeps.launching.trial_faults import LABEL


class Loader:
    """Composes a job's configuration: the sweep's, with its override of x."""

    def load_sweep_config(self, config: DictConfig, overrides: list[str]) -> DictConfig:
        return OmegaConf.merge(config, OmegaConf.from_dotlist(overrides))  # type: ignore[return-value]


def make_sweep(folder: str, **env_set: str) -> DictConfig:
    sweep = OmegaConf.create({"x": 0, "hydra": OmegaConf.structured(HydraConf)})
    values = {
        "job": {"name": "app", "num": 0, "env_set": env_set, "chdir": False},
        "sweep": {"dir": folder, "subdir": "${hydra.job.num}"},
        "output_subdir": None,
        "job_logging": {"root": None},  # else Hydra configures that of the tests
        "verbose": False,
    }
    return OmegaConf.merge(sweep, {"hydra": values})  # type: ignore[return-value]


def compose(folder: str, *overrides: str, task: Any = None, **env_set: str) -> list[Job]:
    context = HydraContext(config_loader=Loader(), callbacks=Callbacks())  # type: ignore[arg-type]
    sweep = make_sweep(folder, **env_set)
    return compose_jobs(context, task, sweep, [[each] for each in overrides], 3)


def test_jobs_have_their_numbers_and_absolute_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = compose("swept", "x=1", "x=2")
    assert [first.number, second.number] == [3, 4]
    assert [first.config.x, second.config.x] == [1, 2]
    assert first.config.hydra.sweep.dir == str(tmp_path / "swept")
    assert (tmp_path / "swept").is_dir()
    assert second.config.hydra.job.id == "app_4"


def test_a_later_launch_has_a_folder_of_its_own(tmp_path: Path) -> None:
    (job,) = compose(str(tmp_path), "x=1")
    subdirs = [job.as_attempt(n).config.hydra.sweep.subdir for n in (2, 3)]
    assert subdirs == ["3.2", "3.3"]
    assert job.config.hydra.sweep.subdir == "3"


def test_only_the_trials_of_a_search_have_a_label(tmp_path: Path) -> None:
    assert not compose(str(tmp_path), "x=1")[0].is_trial
    assert compose(str(tmp_path), "x=1", **{LABEL: "3.2"})[0].is_trial


def run(job: Job, place: Path) -> Any:
    sent = (BaseContainer._resolvers, str(place), Singleton.get_state(), job)
    return pickle.loads(_run_pickled(cloudpickle.dumps(sent)))


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)  # back to where the tests run at the end
    (tmp_path / "driver").mkdir()
    return tmp_path / "driver"


def test_a_worker_runs_a_job_where_the_sweep_was_started(place: Path) -> None:
    (job,) = compose(
        str(place.parent / "swept"), "x=5", task=lambda config: (config.x, os.getcwd())
    )
    result = run(job, place)
    assert result.return_value == (5, str(place))
    assert result.hydra_cfg.hydra.runtime.output_dir == str(place.parent / "swept/3")


def test_a_worker_reports_a_stop_and_lives_on(place: Path) -> None:
    def stop(_: DictConfig) -> None:
        raise SystemExit(3)

    (job,) = compose(str(place), "x=5", task=stop)
    assert run(job, place) == "its Ray worker was stopped (SystemExit)"


def test_a_worker_that_does_not_see_the_folders_says_so(place: Path) -> None:
    (job,) = compose(str(place.parent / "swept"), "x=5")
    job.config.hydra.sweep.dir = "/nowhere"
    with pytest.raises(FileNotFoundError, match=r"does not see the folder /nowhere: all machines"):
        run(job, place)
