"""`task=rl_scheduler`: learns a schedule of training by PPO, or goes on with learning one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from logging import Logger
from pathlib import Path
from typing import Any

from lightning import Callback
from omegaconf import OmegaConf
from rich.console import Console

from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.data.record import data_record
from infinito.errors import ResumeError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.rl.assembly import build_ppo, build_ppo_module, build_ppo_trainer, count_rollouts
from infinito.rl.environment.shared_parts import SharedParts, load_shared_parts
from infinito.rl.ppo.kept_checkpoints import list_kept
from infinito.rl.ppo.policy_files import export_zip, import_zip
from infinito.rl.ppo.ppo_module import PPOModule, RolloutSteps
from infinito.rl.ppo.rollout_progress import RolloutLines
from infinito.rl.ppo.stepping import SteppedPPO
from infinito.run_folder.folder import difference, saved_values
from infinito.run_folder.records import provenance, score_of, write_json
from infinito.run_folder.tables import print_next, print_table
from infinito.storage import locked, written_whole
from infinito.training.callbacks.interruption import Interruption
from infinito.training.callbacks.milestones import Milestones
from infinito.training.recording import recorded, use_threads


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float | None:
    """Learns in `folder` and returns the score.

    Raises:
        InfinitoError: anything that the user can mend; what was saved before stays.
    """
    console = Console()
    use_threads(conf)
    if conf.dry_run:
        _estimate(conf, console)
        return None
    with recorded(conf, folder, overrides) as log:
        return _learn(conf, folder, console, log)


def _learn(conf: RunConf, folder: Path, console: Console, log: Logger) -> float:
    path = folder / "checkpoints/last.ckpt"
    last = read_checkpoint(path) if conf.resume is not None else None
    done = _checked_continuation(conf, folder, last, log) if last else 0
    with console.status("preparing text, base model and start states"):
        data = build_data_module(conf)
        shared = load_shared_parts(conf, data, folder)
    agent = build_ppo(conf, shared)
    if conf.rl.policy_zip is not None and last is None:
        import_zip(agent, Path(conf.rl.policy_zip), conf.rl.allow_pickle)
    task = build_ppo_module(conf, shared, agent)
    print_table(console, f"{conf.name}  →  {folder}", headline(conf, shared, done))
    if last is None:
        write_json(folder / "provenance.json", provenance(data_record(data)))
    interruption = Interruption()
    lines: list[Callback] = [RolloutLines(console)] if conf.trainer.progress_bar else []
    trainer = build_ppo_trainer(conf, folder, interruption, lines, done or None)
    total = count_rollouts(conf, conf.rl.total_timesteps)
    with interruption.listening():
        trainer.fit(
            task,
            train_dataloaders=RolloutSteps(total, count_rollouts(conf, done)),
            val_dataloaders=RolloutSteps(1),
            ckpt_path=path if last else None,
            weights_only=True,
        )
    return _finish(conf, folder, console, task)


def _estimate(conf: RunConf, console: Console) -> None:
    """Builds everything from a bank that is made in a moment, plays a rollout, tells the time."""
    brief = replace(conf, rl=replace(conf.rl, base_steps=8, start_state_steps=8, start_states=2))
    with tempfile.TemporaryDirectory() as folder:
        shared = load_shared_parts(brief, build_data_module(conf), Path(folder))
    agent = build_ppo(brief, shared)
    stepped = SteppedPPO(agent, conf.rl.total_timesteps)
    stepped.begin()
    began = time.perf_counter()
    stepped.run_rollout()
    took_s = time.perf_counter() - began
    rollouts = count_rollouts(conf, conf.rl.total_timesteps)
    print_table(
        console,
        f"{conf.name}: dry run, nothing is written",
        {
            "language model": f"{shared.model.num_parameters():,} parameters",
            "policy": f"{sum(each.numel() for each in agent.policy.parameters()):,} parameters",
            "a rollout": f"{agent.num_timesteps:,} steps in {took_s:.3g} s",
            "whole training": f"{rollouts:,} rollouts, about {rollouts * took_s / 60:.3g} minutes",
        },
    )


def _checked_continuation(conf: RunConf, folder: Path, last: dict[str, Any], log: Logger) -> int:
    """How many environment steps are done; the configuration of a changed run is recorded.

    Raises:
        ResumeError: more steps are done than the whole training is to have.
    """
    done = int(last["ppo"]["num_timesteps"])
    if count_rollouts(conf, conf.rl.total_timesteps) < count_rollouts(conf, done):
        raise ResumeError(
            f"`rl.total_timesteps`={conf.rl.total_timesteps} is below the {done} steps that "
            f"{folder} has done, e.g. `rl.total_timesteps={done + 10_000}`"
        )
    values = {**asdict(conf), "resume": None, "dry_run": False}
    changes = list(difference(saved_values(folder), values))
    for key, old, new in changes:
        log.info("from step %d on: %s=%s (was %s)", done, key, new, old)
    if changes:
        with locked(folder / "config.yaml"), written_whole(folder / "config.yaml") as file:
            file.write(OmegaConf.to_yaml(OmegaConf.create(values)).encode())
    return done


def _finish(conf: RunConf, folder: Path, console: Console, task: PPOModule) -> float:
    """Writes summary and, where asked for, the zip; prints the results."""
    checkpoints = folder / "checkpoints"
    summary = summarize(folder, task)
    write_json(folder / "summary.json", summary)
    if conf.rl.export_zip:
        export_zip(task.stepped.ppo, checkpoints / "best.ckpt", folder / "agent.zip")
    for name in {"best", "last"} - set(conf.rl.keep):
        (checkpoints / f"{name}.ckpt").unlink(missing_ok=True)
    print_table(console, "\nresults (val: best validation; rl: last rollout)", summary)
    name = "python -m infinito.run"
    print_next(
        console,
        [
            (f"{name} task=evaluate checkpoint={folder}", "test episodes against every control"),
            (f"{name} task=report checkpoint={folder}", "tables and plots"),
            (f"{name} +experiment=rl_continue resume={folder}", "go on to 40,000 steps"),
        ],
    )
    return score_of(summary, conf.score)


def summarize(folder: Path, task: PPOModule) -> dict[str, Any]:
    """The results of a training: its best validation, and what its last rollout reported."""
    last = read_checkpoint(folder / "checkpoints/last.ckpt")
    best, ppo = last["callbacks"][Milestones.KEY], task.stepped.ppo
    cost = best["best_score"]
    return {
        "run": str(folder),
        "val/cost": cost,
        "val/return": -cost,
        "best_timesteps": best["best_batch"] * ppo.n_steps * ppo.n_envs,
        "timesteps": task.timesteps,
        "kept": [steps for steps, _ in list_kept(folder / "checkpoints")],
        "collapsed": task.monitor.collapsed,
        **task.last_report,
    }


def headline(conf: RunConf, shared: SharedParts, done: int) -> dict[str, Any]:
    """What a run is, for the top of its output."""
    rl, bank = conf.rl, shared.start_states["train"]
    return {
        "schedule": f"{rl.total_timesteps:,} steps of {rl.inner_steps} optimizer steps, "
        f"{rl.n_envs} environments, episodes of {rl.max_steps}" + f", {done:,} done" * bool(done),
        "reward": rl.reward.name,
        "language model": f"{shared.model.num_parameters():,} parameters, "
        f"perplexity {shared.base_perplexity:.4g} at the base",
        "start states": f"{len(bank)}, Φ {bank.phi.min():.2g} to {bank.phi.max():.2g}",
        "seed": conf.seed,
    }
