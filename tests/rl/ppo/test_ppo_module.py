"""The schedule's training by Lightning: its steps, files, start and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from infinito import run as program
from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.errors import CheckpointError, ConfigError, NonFiniteError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.rl.assembly import build_ppo
from infinito.rl.environment.shared_parts import load_shared_parts
from infinito.rl.environment.stacked_models import StackedModels
from infinito.rl.ppo.ppo_module import FIRST_CURVES

Make = Callable[..., RunConf]

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")


def test_lightning_steps_what_learn_would(finished: Path, rl_configured: Make) -> None:
    """The policy that Lightning trained is that of `PPO.learn`, and its steps were counted."""
    run = rl_configured()
    shared = load_shared_parts(run, build_data_module(run), finished)
    reference = build_ppo(run, shared)
    reference.learn(run.rl.total_timesteps)
    last = read_checkpoint(finished / "checkpoints/last.ckpt")
    for name, value in reference.policy.state_dict().items():
        assert torch.equal(last["state_dict"][f"policy.{name}"], value), name
    assert last["global_step"] == 3 * 2 * 3  # rollouts, epochs, minibatches


def test_summary_checkpoints_and_pruning(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["timesteps"] == 45
    assert summary["kept"] == [30]  # 15, 30, 45 were written; every:30 keeps one
    assert summary["val/cost"] == -summary["val/return"]
    html = (finished / "report.html").read_text(encoding="utf-8")
    assert "Best validation return" in html
    assert "Terms of the reward" in html
    best = read_checkpoint(finished / "checkpoints/best.ckpt")
    assert summary["best_timesteps"] == best["ppo"]["num_timesteps"]
    assert {path.name for path in (finished / "checkpoints").glob("*.ckpt")} == {
        "best.ckpt",
        "last.ckpt",
        "step_000000030.ckpt",
    }


def test_metrics_are_logged_once_against_environment_steps(finished: Path) -> None:
    events = EventAccumulator(str(finished)).Reload()
    for tag in ("rl/phi", "rl/entropy_nats", "rl/reward/band", "val/return", "val/gap_p"):
        assert [event.step for event in events.Scalars(tag)] == [15, 30, 45], tag


def test_tensorboard_opens_on_the_returns(finished: Path) -> None:
    """TensorBoard's page is sorted by tag, and the constants of HPARAMS come after curves."""
    events = EventAccumulator(str(finished)).Reload()
    assert sorted(events.Tags()["scalars"])[:2] == ["return/rollouts", "return/validation"]
    for copy, original in FIRST_CURVES.items():
        assert [event.value for event in events.Scalars(copy)] == [
            event.value for event in events.Scalars(original)
        ]


def test_a_reward_that_is_not_a_number_keeps_the_last_checkpoint(
    rl_configured: Make,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    original = StackedModels.measure

    def spoiled(self: StackedModels, windows: torch.Tensor) -> Any:
        metrics = original(self, windows)
        spoil = self.count == 3 and (tmp_path / "run/checkpoints/last.ckpt").exists()
        return metrics._replace(phi=metrics.phi * np.nan) if spoil else metrics

    monkeypatch.setattr(StackedModels, "measure", spoiled)
    with pytest.raises(NonFiniteError, match="the reward's term `coherence`"):
        program.execute(rl_configured(), tmp_path / "run")
    kept = read_checkpoint(tmp_path / "run/checkpoints/last.ckpt")
    assert kept["ppo"]["num_timesteps"] == 15


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("rl.n_steps=1", "rl.n_envs=1"), "rollouts of one step"),
        (("rl.inner_steps=0",), r"`rl.inner_steps`=0.*at least 1"),
        (("rl.max_steps=-1",), r"`rl.max_steps`=-1.*at least 1"),
        (("rl.phi_sequences=3",), r"`rl.phi_sequences`=3 is more than `data.batch_size`=2"),
        (("rl.batch_size=64",), r"`rl.batch_size`=64 is more than the 15 steps"),
        (
            ("rl.keep=[each:3]",),
            r"`rl.keep`=.*expected a list of `best`, `last` and `every:<steps>`",
        ),
        (("agent=x",), r"`agent` is not read by .*\(it is for `task=generate`\)"),
        (
            ("trainer.accelerator=cuda",),
            r"`trainer.accelerator=cuda` is not for .*Use `trainer.accelerator=cpu`",
        ),
        (("checkpoint=x",), r"`checkpoint` is not read by .*`rl.base_checkpoint=<run>`"),
        (("data.block_size=17",), r"`data.block_size`=17 is longer than `model.max_positions`=16"),
        (("memory=integration",), r"Use `rl.vectorised=false`"),
    ],
)
def test_faults_of_the_configuration(
    rl_configured: Make,
    overrides: tuple[str, ...],
    message: str,
) -> None:
    with pytest.raises(ConfigError, match=message):
        rl_configured(*overrides)


def test_a_missing_base_checkpoint_is_named(rl_configured: Make, tmp_path: Path) -> None:
    run = rl_configured(f"rl.base_checkpoint={tmp_path / 'absent'}")
    with pytest.raises(CheckpointError, match=r"`rl.base_checkpoint`=.*absent"):
        program.execute(run, tmp_path / "run")


def test_a_base_checkpoint_is_where_episodes_start(
    trained: Callable[..., Path], rl_configured: Make, tmp_path: Path
) -> None:
    base = trained("model.max_positions=16", "tokenizer.unknown=true")
    run = rl_configured(f"rl.base_checkpoint={base}", "model.max_positions=16")
    made = load_shared_parts(run, build_data_module(run), tmp_path)
    expected = read_checkpoint(base / "checkpoints/best.ckpt")["state_dict"]
    for name, value in made.model.state_dict().items():
        assert torch.equal(value, expected[f"model.{name}"]), name


def test_a_dry_run_writes_nothing(
    rl_configured: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    program.execute(rl_configured("dry_run=true"), tmp_path / "run")
    assert "nothing is written" in capsys.readouterr().out
    assert not (tmp_path / "run").exists()
