"""Shared parts of a tiny schedule and environments on it, made once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.paths import conf_dir
from infinito.rl.assembly import build_episodes
from infinito.rl.environment.episodes import Episodes
from infinito.rl.environment.shared_parts import SharedParts, load_shared_parts

TINY_RL = (
    "+experiment=rl_quick",
    "data=text",
    "data.block_size=12",
    "data.batch_size=2",
    "model.dim=16",
    "model.layers=1",
    "trainer.threads=1",
    "trainer.progress_bar=false",
    "rl.base_steps=5",
    "rl.base_batch_size=4",
    "rl.start_states=4",
    "rl.start_state_steps=8",
    "rl.inner_steps=2",
    "rl.probe_windows=3",
    "rl.phi_sequences=2",
    "rl.max_steps=4",
    "rl.n_envs=3",
    "rl.n_steps=5",
    "rl.batch_size=5",
    "rl.n_epochs=2",
    "rl.net_arch=[8]",
    "rl.total_timesteps=45",
    "rl.validate_every=15",
    "rl.validation_episodes=4",
    "rl.save_freq=15",
    'rl.keep=[best,last,"every:30"]',
    "rl.episodes=6",
)
"""Overrides of a schedule that is learned in a moment: rollouts of 15 steps, episodes of 4."""


@pytest.fixture(scope="session")
def rl_configured(
    text_file: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[..., RunConf]:
    """Makes the configuration of a tiny schedule; later overrides win."""
    cache = tmp_path_factory.mktemp("cache")

    def make(*overrides: str) -> RunConf:
        fixed = [f"data.path={text_file}", f"data.cache_dir={cache}"]
        return check([*TINY_RL, *fixed, *overrides], conf_dir())

    return make


@pytest.fixture(scope="session")
def shared(
    rl_configured: Callable[..., RunConf], tmp_path_factory: pytest.TempPathFactory
) -> SharedParts:
    """Text, base model and banks of the tiny schedule."""
    run = rl_configured()
    return load_shared_parts(run, build_data_module(run), tmp_path_factory.mktemp("shared"))


@pytest.fixture
def build_environments(
    rl_configured: Callable[..., RunConf], shared: SharedParts
) -> Callable[..., Episodes]:
    """Makes environments on the tiny shared parts."""

    def make(count: int, *overrides: str, null: bool = False, seed: int = 0) -> Episodes:
        return build_episodes(rl_configured(*overrides), shared, "train", count, seed, null)

    return make
