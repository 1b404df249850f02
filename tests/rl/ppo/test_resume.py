"""The schedule's training goes on from its checkpoint: to the same bits, or with other numbers."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from infinito import run as program
from infinito.cli.composition import check
from infinito.cli.continuation import effective_values
from infinito.cli.typed_values import parse
from infinito.config import RENAMED_KEYS, RunConf
from infinito.errors import CheckpointError, ConfigError, ResumeError
from infinito.models.checkpoint_file import read_checkpoint, write_checkpoint
from infinito.paths import conf_dir
from infinito.rl.ppo.ppo_module import PPOModule
from infinito.rl.ppo.stepping import SteppedPPO
from infinito.run_folder.folder import saved_values
from infinito.training.callbacks.interruption import Interrupted
from tests.equal_metrics import figures_of
from tests.kills import whole_and_killed
from tests.rl.conftest import TINY_RL
from tests.same_runs import assert_same_checkpoints, assert_same_summary, differing

Make = Callable[..., RunConf]

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")


def resumed(folder: Path, *overrides: str, **values: Any) -> None:
    rl = saved_values(folder)["rl"] | values
    asked = {**saved_values(folder), "resume": str(folder), "rl": rl}
    program.execute(parse(effective_values(asked, [f"resume={folder}", *overrides])), folder)


def assert_same_run(one: Path, other: Path) -> None:
    """Policy, optimizer, environments, language models, generators and figures are equal."""
    assert_same_checkpoints(one, other)
    assert_same_summary(one, other)
    assert figures_of(one) == figures_of(other)
    assert figures_of(one)[0] == ("step", [15.0, 30.0, 45.0])


def test_resuming_a_finished_schedule_keeps_its_figures(finished: Path, tmp_path: Path) -> None:
    shutil.copytree(finished, tmp_path / "run")
    resumed(tmp_path / "run")
    assert "rl/kl_nats" in json.loads((tmp_path / "run/summary.json").read_text())
    assert_same_run(finished, tmp_path / "run")


def test_a_validation_left_on_a_signal_is_judged_once(
    rl_configured: Make, finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, calls = PPOModule.validation_step, []

    def hooked(self: PPOModule, batch: int, batch_idx: int) -> None:
        calls.append(1)
        if len(calls) == 2:
            os.kill(os.getpid(), signal.SIGTERM)
        original(self, batch, batch_idx)

    with monkeypatch.context() as patch:
        patch.setattr(PPOModule, "validation_step", hooked)
        with pytest.raises(Interrupted, match="resume="):
            program.execute(rl_configured("rl.export_zip=true"), tmp_path / "stopped")
    resumed(tmp_path / "stopped")
    assert_same_run(finished, tmp_path / "stopped")
    events = EventAccumulator(str(tmp_path / "stopped")).Reload()
    assert [event.step for event in events.Scalars("val/return")] == [15, 30, 45]


@pytest.mark.parametrize("call", [1, 2, 3])
def test_a_stopped_training_goes_on_with_the_same_bits(
    rl_configured: Make,
    finished: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    call: int,
) -> None:
    original, calls = SteppedPPO.run_rollout, []

    def hooked(self: SteppedPPO) -> dict[str, float]:
        calls.append(1)
        if len(calls) == call:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self)

    with monkeypatch.context() as patch:
        patch.setattr(SteppedPPO, "run_rollout", hooked)
        with pytest.raises(Interrupted, match="resume="):
            program.execute(rl_configured("rl.export_zip=true"), tmp_path / "stopped")
    resumed(tmp_path / "stopped")
    assert_same_run(finished, tmp_path / "stopped")
    events = EventAccumulator(str(tmp_path / "stopped")).Reload()
    for tag in ("rl/phi", "val/return"):
        assert [event.step for event in events.Scalars(tag)] == [15, 30, 45], tag


def test_a_changed_text_is_refused_by_its_name(
    rl_configured: Make, tmp_path: Path, text_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = tmp_path / "mine.txt"
    text.write_bytes(text_file.read_bytes())
    folder = tmp_path / "run"
    program.execute(rl_configured("rl.total_timesteps=11", f"data.path={text}"), folder)
    assert "15 steps of" in capsys.readouterr().out  # whole rollouts of 15
    text.write_bytes(text_file.read_bytes().swapcase())
    with pytest.raises(ResumeError, match=rf"train text \(text of {text}\)"):
        resumed(folder, "rl.total_timesteps=30", total_timesteps=30)


def test_going_on_takes_the_new_numbers(rl_configured: Make, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    program.execute(rl_configured("rl.total_timesteps=15"), folder)
    seen: dict[str, float] = {}
    original = SteppedPPO.run_rollout

    def spying(self: SteppedPPO) -> dict[str, float]:
        report = original(self)
        ppo = self.ppo
        seen.update(
            rate=ppo.policy.optimizer.param_groups[0]["lr"],
            clip=ppo.clip_range(1.0),  # type: ignore[operator]
            entropy=ppo.ent_coef,
            norm=ppo.max_grad_norm,
            started=ppo.num_timesteps,
        )
        return report

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SteppedPPO, "run_rollout", spying)
        changes = {
            "total_timesteps": 30,
            "learning_rate": 1e-4,
            "clip_range": 0.1,
            "ent_coef": 0.003,
            "max_grad_norm": 0.25,
        }
        resumed(folder, *(f"rl.{key}={value}" for key, value in changes.items()), **changes)
    assert seen == {"rate": 1e-4, "clip": 0.1, "entropy": 0.003, "norm": 0.25, "started": 30}
    assert saved_values(folder)["rl"]["total_timesteps"] == 30
    assert json.loads((folder / "summary.json").read_text())["timesteps"] == 30


def test_a_run_whose_best_checkpoint_was_pruned_goes_on(
    rl_configured: Make, tmp_path: Path
) -> None:
    program.execute(rl_configured("rl.keep=[last]"), tmp_path / "run")
    best = json.loads((tmp_path / "run/summary.json").read_text())
    resumed(tmp_path / "run", "rl.total_timesteps=60", total_timesteps=60)
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert summary["timesteps"] == 60
    assert summary["val/return"] >= best["val/return"]
    assert [path.name for path in (tmp_path / "run/checkpoints").glob("*.ckpt")] == ["last.ckpt"]


def test_a_run_of_an_earlier_version_goes_on(
    rl_configured: Make, finished: Path, tmp_path: Path
) -> None:
    """Its config.yaml has earlier names of keys: the run resumes to the same bits."""
    folder = tmp_path / "run"
    program.execute(rl_configured("rl.export_zip=true", "rl.total_timesteps=30"), folder)
    text = (folder / "config.yaml").read_text()
    for old, new in RENAMED_KEYS["rl"].items():
        assert f"\n  {new}:" in text
        text = text.replace(f"\n  {new}:", f"\n  {old}:")
    (folder / "config.yaml").write_text(text)
    overrides = [f"resume={folder}", "rl.total_timesteps=45"]
    program.execute(check(overrides, conf_dir()), folder)
    assert_same_summary(finished, folder)
    for name in ("last", "best"):
        whole, longer = (
            read_checkpoint(each / f"checkpoints/{name}.ckpt") for each in (finished, folder)
        )
        assert list(differing(whole, longer)) == ["/run/config/rl/total_timesteps: 45 and 30"]
    with pytest.raises(ConfigError, match=r"`rl\.entropy`.*is called `rl\.ent_coef` now"):
        check([f"resume={folder}", "rl.entropy=0.3"], conf_dir())


def test_what_cannot_be_changed_is_refused(finished: Path) -> None:
    with pytest.raises(
        ResumeError, match=r"(?s)rl\.inner_steps: the run has 2, .* asks for 7.*suffices\)\.$"
    ):
        resumed(finished, "rl.inner_steps=7", inner_steps=7)


def test_fewer_steps_than_are_done_are_refused(finished: Path) -> None:
    with pytest.raises(ResumeError, match=r"`rl.total_timesteps`=20 is below the 45 steps"):
        resumed(finished, "rl.total_timesteps=20", total_timesteps=20)


@pytest.mark.parametrize(
    ("key", "change", "named"),
    [
        ("observation", {"phi": [0.0, 1.0]}, "observation"),
        ("actions", {"TEXT": [1.0, 0.0]}, "actions"),
        ("reward", {"name": "v3"}, "reward"),
    ],
)
def test_agents_of_something_else_are_refused(
    finished: Path, tmp_path: Path, key: str, change: dict[str, Any], named: str
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(finished, folder)
    for name in ("best", "last"):
        path = folder / f"checkpoints/{name}.ckpt"
        checkpoint = read_checkpoint(path)
        checkpoint["infinito"][key] = change
        write_checkpoint(checkpoint, path)
    with pytest.raises(CheckpointError, match=f"{named}: the agent has"):
        resumed(folder, "rl.total_timesteps=60", total_timesteps=60)


def test_the_experiment_of_going_on_keeps_the_runs_own_numbers(finished: Path) -> None:
    run = check(
        ["+experiment=rl_continue", f"resume={finished}", "rl.total_timesteps=60"], conf_dir()
    )
    assert (run.rl.learning_rate, run.rl.total_timesteps) == (1e-4, 60)
    assert (run.model.dim, run.rl.inner_steps) == (16, 2)  # type: ignore[attr-defined]


@pytest.mark.slow
def test_ten_kills_at_random_moments(text_file: Path, tmp_path: Path) -> None:
    """SIGKILL, ten times, in rollouts, validations or savings, as it falls."""
    arguments = [
        *TINY_RL,
        f"data.path={text_file}",
        f"data.cache_dir={tmp_path / 'cache'}",
        "rl.total_timesteps=900",
        "rl.validate_every=45",
    ]
    whole, killed = whole_and_killed(tmp_path, arguments)
    assert_same_run(whole, killed)
