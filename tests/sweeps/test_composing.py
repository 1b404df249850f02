"""The quick loader composes what Hydra's own composes."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from typing import Any

import cloudpickle
import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import OmegaConf

from infinito import run  # noqa: F401  (registers the resolver that config.yaml uses)
from infinito.cli.composition import searching
from infinito.paths import conf_dir
from infinito.sweeps.composing import QuickLoader

JOBS = [
    ["+search=mcts_original", "optimizer.lr=0.1", "model.dim=64"],
    ["+search=mcts_original", "optimizer.lr=0.2", "model.dim=64", "hydra.sweep.subdir='7.2'"],
    ["+search=mcts_original", "attention=dot", "optimizer.lr=0.1", "++hydra.job.env_set.A='7'"],
    ["+search=mcts_original", "attention=dot", "~optimizer.betas", "+new.key={a:1}"],
]


@pytest.fixture
def hydra() -> Iterator[Any]:
    with searching([conf_dir()]):
        yield GlobalHydra.instance().hydra


@pytest.mark.parametrize("again", [False, True])
def test_equal_to_hydras_own(hydra: Any, again: bool) -> None:
    overrides = ["+search=mcts_original", "hydra.job.name=x"]
    master = hydra.compose_config(
        "config", overrides, run_mode=RunMode.MULTIRUN, with_log_configuration=False
    )
    folder = str(master.hydra.sweep.dir)  # its time and suffix are drawn here, once
    quick = QuickLoader(hydra.config_loader)
    if again:
        quick = pickle.loads(cloudpickle.dumps(quick))
    for job in JOBS:
        expected = hydra.config_loader.load_sweep_config(master, job)
        found = quick.load_sweep_config(master, job)
        assert OmegaConf.to_container(found) == OmegaConf.to_container(expected)
        assert found.hydra.sweep.dir == expected.hydra.sweep.dir == folder
        assert OmegaConf.is_struct(found) == OmegaConf.is_struct(expected)
    assert len(quick._composed) == 2
