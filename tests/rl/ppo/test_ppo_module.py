"""The schedule's training by Lightning: exact resume, going on with other numbers, refusals."""

from __future__ import annotations

import json
import os
import shutil
import signal
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from stable_baselines3 import PPO
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from infinito import run as program
from infinito.cli.composition import check
from infinito.cli.continuation import effective_values
from infinito.cli.typed_values import parse
from infinito.config import RENAMED_KEYS, RunConf
from infinito.data.assembly import build_data_module
from infinito.errors import CheckpointError, ConfigError, NonFiniteError, ResumeError
from infinito.models.checkpoint_file import read_checkpoint, write_checkpoint
from infinito.paths import conf_dir
from infinito.rl.assembly import build_ppo
from infinito.rl.environment.shared_parts import SharedParts, load_shared_parts
from infinito.rl.environment.stacked_models import StackedModels
from infinito.rl.ppo.policy_files import import_zip
from infinito.rl.ppo.ppo_module import PPOModule
from infinito.rl.ppo.stepping import SteppedPPO
from infinito.run_folder.folder import saved_values
from infinito.run_folder.series.metrics_file import read_metrics
from infinito.training.callbacks.interruption import Interrupted
from tests.equal_metrics import figures_of
from tests.kills import whole_and_killed
from tests.rl.conftest import TINY_RL

Make = Callable[..., RunConf]

pytestmark = pytest.mark.filterwarnings("ignore:You have specified a mini-batch size")


@pytest.fixture(scope="module")
def finished(rl_configured: Make, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished schedule of 45 steps; tests that change it take a copy."""
    folder = tmp_path_factory.mktemp("finished") / "run"
    program.execute(rl_configured("rl.export_zip=true"), folder)
    return folder


def resumed(folder: Path, *overrides: str, **values: Any) -> None:
    rl = saved_values(folder)["rl"] | values
    asked = {**saved_values(folder), "resume": str(folder), "rl": rl}
    program.execute(parse(effective_values(asked, [f"resume={folder}", *overrides])), folder)


def assert_same_run(one: Path, other: Path) -> None:
    """Policy, optimizer, environments, language models and generators are equal bit by bit."""
    for name in ("last", "best"):
        first, second = (
            read_checkpoint(folder / f"checkpoints/{name}.ckpt") for folder in (one, other)
        )
        for key in ("state_dict", "optimizer_states", "ppo", "collapse", "global_step"):
            assert same(first[key], second[key]), (name, key)


def same(one: Any, other: Any) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


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
    assert figures_of(tmp_path / "stopped") == figures_of(finished)


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
    assert figures_of(tmp_path / "stopped") == figures_of(finished)
    assert read_metrics(finished)["step"] == [15, 30, 45]


def test_a_changed_text_is_refused_by_its_name(
    rl_configured: Make, tmp_path: Path, text_file: Path
) -> None:
    text = tmp_path / "mine.txt"
    text.write_bytes(text_file.read_bytes())
    folder = tmp_path / "run"
    program.execute(rl_configured("rl.total_timesteps=15", f"data.path={text}"), folder)
    text.write_bytes(text_file.read_bytes().swapcase())
    with pytest.raises(ResumeError, match=rf"train text \(text of {text}\)"):
        resumed(folder, "rl.total_timesteps=30", total_timesteps=30)


def test_going_on_takes_the_new_numbers(rl_configured: Make, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    program.execute(rl_configured("rl.total_timesteps=15"), folder)
    seen = {}
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
    assert_same_run(finished, folder)
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


def test_the_zip_opens_in_stable_baselines3_and_here(
    finished: Path,
    rl_configured: Make,
    shared: SharedParts,
) -> None:
    best = read_checkpoint(finished / "checkpoints/best.ckpt")["state_dict"]
    theirs = PPO.load(finished / "agent.zip", device="cpu")
    ours = build_ppo(rl_configured(), shared)
    import_zip(ours, finished / "agent.zip")
    for ppo in (theirs, ours):
        for name, value in ppo.policy.state_dict().items():
            assert torch.equal(best[f"policy.{name}"], value)


def test_bad_zips_are_refused(
    finished: Path,
    tmp_path: Path,
    rl_configured: Make,
    shared: SharedParts,
) -> None:
    ppo = build_ppo(rl_configured(), shared)
    with pytest.raises(CheckpointError, match="there is no such file"):
        import_zip(ppo, tmp_path / "absent.zip")
    data = (finished / "agent.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        import_zip(ppo, tmp_path / "cut.zip")
    with zipfile.ZipFile(finished / "agent.zip") as source:
        content = {name: source.read(name) for name in source.namelist()}
    with zipfile.ZipFile(tmp_path / "foreign.zip", "w") as target:
        for name in set(content) - {"infinito.json"}:
            target.writestr(name, content[name])
    with zipfile.ZipFile(tmp_path / "packed.zip", "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("policy.pth", content["policy.pth"])
    packed = bytearray((tmp_path / "packed.zip").read_bytes())
    packed[60:100] = b"\xff" * 40
    (tmp_path / "packed.zip").write_bytes(packed)
    with pytest.raises(CheckpointError, match="is no zip file, or a damaged one"):
        import_zip(ppo, tmp_path / "packed.zip")
    with pytest.raises(CheckpointError, match=r"not written by infinito.*can run any code"):
        import_zip(ppo, tmp_path / "foreign.zip")
    import_zip(ppo, tmp_path / "foreign.zip", allow_pickle=True)
    wide = build_ppo(rl_configured("rl.net_arch=[16]"), shared)
    with pytest.raises(CheckpointError, match="does not fit this run's policy"):
        import_zip(wide, finished / "agent.zip")


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


def test_the_experiment_of_going_on_keeps_the_runs_own_numbers(finished: Path) -> None:
    run = check(
        ["+experiment=rl_continue", f"resume={finished}", "rl.total_timesteps=60"], conf_dir()
    )
    assert (run.rl.learning_rate, run.rl.total_timesteps) == (1e-4, 60)
    assert (run.model.dim, run.rl.inner_steps) == (16, 2)  # type: ignore[attr-defined]


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
