"""Hydra's own tests of launchers and batched sweepers, run on this sweeper.

They read each job's result from what the sweeper returns, in the order of a grid. This sweeper
returns the best score and proposes in an order of its own, so a fixture gives the tests the jobs as
they were launched, sorted as a grid.

Not run: `test_sweep_1_job` and its two variants, which sweep over nothing (a search needs a
parameter), and `test_sweep_with_custom_resolver`, the same; the integration suite, whose
applications return no score.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn
from hydra.test_utils.launcher_common_tests import BatchedSweeperTestSuite, LauncherTestSuite
from omegaconf import DictConfig

from infinito.sweeps.settings import MctsSweeperConf

SEARCH = [
    "hydra/sweeper=mcts",
    "hydra.sweeper.report=false",
    "hydra.sweeper.quiet=false",
    "hydra.job.chdir=true",  # the suites look for each job's log in its working folder
]

BATCHES = ["hydra.sweeper.n_jobs=2", "hydra.sweeper.asynchronous=false"]


def score(_: DictConfig) -> float:
    return 100.0


@pytest.fixture
def hydra_sweep_runner(
    hydra_sweep_runner: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Hydra's fixture, whose sweeps return the jobs instead of the best score."""
    plugin: Any = Plugins.instance().class_name_to_class[MctsSweeperConf()._target_]
    search = plugin.sweep

    def sweep(self: Any, arguments: list[str]) -> list[list[JobReturn]]:
        assert self.launcher is not None
        launch, batches = self.launcher.launch, []

        def record(jobs: Any, initial_job_idx: int) -> Any:
            batches.append(list(launch(jobs, initial_job_idx=initial_job_idx)))
            return batches[-1]

        monkeypatch.setattr(self.launcher, "launch", record)
        search(self, arguments)
        jobs = sorted((job for batch in batches for job in batch), key=lambda job: job.overrides)
        size = len(batches[0])
        return [jobs[start : start + size] for start in range(0, len(jobs), size)]

    monkeypatch.setattr(plugin, "sweep", sweep)

    def run(task_function: Any, overrides: list[str], **settings: Any) -> Any:
        return hydra_sweep_runner(
            task_function=task_function or score, overrides=overrides, **settings
        )

    return run


@pytest.mark.parametrize(("launcher_name", "overrides"), [("basic", [*SEARCH, *BATCHES])])
class TestLauncher(LauncherTestSuite):
    test_sweep_1_job = None  # type: ignore[assignment]
    test_sweep_1_job_strict = None  # type: ignore[assignment]
    test_sweep_with_custom_resolver = None  # type: ignore[assignment]


@pytest.mark.parametrize(
    ("launcher_name", "overrides"),
    [("basic", [*SEARCH, *BATCHES])],
)
class TestBatches(BatchedSweeperTestSuite):
    pass


def test_a_mandatory_group_is_searched(
    hydra_sweep_runner: Callable[..., Any], tmp_path: Path
) -> None:
    """With a condition, which asks the configuration that all jobs share."""
    sweep = hydra_sweep_runner(
        calling_file=None,
        calling_module="hydra.test_utils.a_module",
        task_function=score,
        config_path="configs",
        config_name="unspecified_mandatory_default",
        overrides=[
            *SEARCH,
            "group1=file1,file2",
            "hydra.sweeper.conditions=[\"group1 == 'file2'\"]",
        ],
        temp_dir=tmp_path,
    )
    with sweep:
        assert [job.overrides for job in sweep.returns[0]] == [["group1=file2"]]
