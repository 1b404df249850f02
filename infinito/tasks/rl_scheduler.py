"""`task=rl_scheduler`: learn a training schedule by PPO, or continue to learn one."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from logging import Logger
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from rich.console import Console

from infinito.cli.read_by import CONTINUABLE
from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.data.record import data_record, text_inputs, token_inputs
from infinito.errors import ResumeError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.pages.kinds.schedule import list_next
from infinito.pages.run_page import write_page_or_warn
from infinito.rl.assembly import build_ppo, build_ppo_module, build_ppo_trainer, count_rollouts
from infinito.rl.environment.shared_parts import SharedParts, load_shared_parts
from infinito.rl.environment.spaces import ACTIONS
from infinito.rl.ppo.kept_checkpoints import list_kept
from infinito.rl.ppo.policy_files import export_zip, import_zip
from infinito.rl.ppo.ppo_module import PPOModule, RolloutSteps
from infinito.rl.ppo.rollout_bar import RolloutBar
from infinito.rl.ppo.stepping import SteppedPPO
from infinito.run_folder.folder import difference, saved_values
from infinito.run_folder.records import provenance, read_score, write_json
from infinito.run_folder.tables import print_next, print_page, print_table
from infinito.storage import written_whole
from infinito.training.callbacks.interruption import Interruption
from infinito.training.callbacks.milestones import Milestones
from infinito.training.dashboards.dashboard import list_dashboards
from infinito.training.recording import RunRecord, recorded


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float | None:
    """Learn a schedule in `folder` and return the score.

    Raises:
        InfinitoError: a fault that the user can correct; the files saved before it stay.
    """
    console = Console()
    if conf.dry_run:
        _estimate(conf, console)
        return None
    with recorded(conf, folder, overrides) as log:
        return _learn(conf, folder, console, log)


def _learn(conf: RunConf, folder: Path, console: Console, log: Logger) -> float:
    path = folder / "checkpoints/last.ckpt"
    last = read_checkpoint(path) if conf.resume is not None else None
    record = RunRecord(folder, last, log, CONTINUABLE | {"resume", "dry_run"})
    record.use_threads(conf, log)
    done = _check_continuation(conf, folder, last, log) if last else 0
    with console.status("preparing text, base model and start states"):
        data = build_data_module(conf)
        record.pin(text_inputs(data))
        record.pin(token_inputs(data))
        shared = load_shared_parts(conf, data, folder)
    ppo = build_ppo(conf, shared)
    if conf.rl.policy_zip is not None and last is None:
        import_zip(ppo, Path(conf.rl.policy_zip), conf.rl.allow_pickle)
    bar = build_bar(conf, done, console) if conf.trainer.progress_bar else None
    module = build_ppo_module(conf, shared, ppo, bar.advance if bar else None)
    print_table(console, f"{conf.name}  →  {folder}", describe_run(conf, shared, done))
    if last is None:
        found = provenance(data_record(data))
        write_json(folder / "provenance.json", {**found, "threads": record.values["threads"]})
    interruption = Interruption()
    callbacks = [record, *([bar] if bar else [])]
    trainer = build_ppo_trainer(conf, folder, interruption, callbacks, done or None, console)
    total = count_rollouts(conf, conf.rl.total_timesteps)
    with interruption.listening():
        trainer.fit(
            module,
            train_dataloaders=RolloutSteps(total, count_rollouts(conf, done)),
            val_dataloaders=RolloutSteps(1),
            ckpt_path=path if last else None,
            weights_only=True,
        )
    for dashboard in list_dashboards(trainer):
        dashboard.close()
    return _finish(conf, folder, console, module)


def build_bar(conf: RunConf, done: int, console: Console) -> RolloutBar:
    """Return the progress bar of a training that has done some environment steps."""
    rollout = conf.rl.n_steps * conf.rl.n_envs
    total, first = count_rollouts(conf, conf.rl.total_timesteps), count_rollouts(conf, done)
    every = count_rollouts(conf, conf.rl.validate_every)
    due = {number for number in range(first + 1, total + 1) if number % every == 0}
    if first < total:
        due.add(total)
    steps = 2 * conf.rl.validation_episodes * conf.rl.max_steps  # held-out and training states
    return RolloutBar(total * rollout, steps, len(due), done, console)


def _estimate(conf: RunConf, console: Console) -> None:
    """Build everything on short-lived start states, run one rollout, and print the time it took."""
    brief = replace(conf, rl=replace(conf.rl, base_steps=8, start_state_steps=8, start_states=2))
    with tempfile.TemporaryDirectory() as folder:
        shared = load_shared_parts(brief, build_data_module(conf), Path(folder))
    ppo = build_ppo(brief, shared)
    stepped = SteppedPPO(ppo, conf.rl.total_timesteps)
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
            "policy": f"{sum(each.numel() for each in ppo.policy.parameters()):,} parameters",
            "a rollout": f"{ppo.num_timesteps:,} steps in {took_s:.3g} s",
            "whole training": f"{rollouts:,} rollouts, about {rollouts * took_s / 60:.3g} minutes",
        },
    )


def _check_continuation(conf: RunConf, folder: Path, last: dict[str, Any], log: Logger) -> int:
    """Return the environment steps that a run has done; record the changes of its configuration.

    Raises:
        ResumeError: the run has done more steps than `rl.total_timesteps`.
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
        with written_whole(folder / "config.yaml") as file:
            file.write(OmegaConf.to_yaml(OmegaConf.create(values)).encode())
    return done


def _finish(conf: RunConf, folder: Path, console: Console, module: PPOModule) -> float:
    """Write the summary and, if configured, the zip; print the results; return the score."""
    checkpoints = folder / "checkpoints"
    with console.status("reading the last checkpoint"):
        summary = summarize(folder, module)
        write_json(folder / "summary.json", summary)
        if conf.rl.export_zip:
            export_zip(module.stepped.ppo, checkpoints / "best.ckpt", folder / "agent.zip")
    for name in {"best", "last"} - set(conf.rl.keep):
        (checkpoints / f"{name}.ckpt").unlink(missing_ok=True)
    print_table(console, "\nresults", describe_results(folder, summary, module.monitor.declined))
    with console.status("writing the page"):
        page = write_page_or_warn(folder)
    print_page(console, page)
    print_next(console, list_next(folder, asdict(conf)))
    return read_score(summary, conf.score)


def summarize(folder: Path, module: PPOModule) -> dict[str, Any]:
    """Return the best validation of a training, and the metrics of its last rollout."""
    last = read_checkpoint(folder / "checkpoints/last.ckpt")
    best, ppo = last["callbacks"][Milestones.KEY], module.stepped.ppo
    cost = best["best_score"]
    return {
        "run": str(folder),
        "val/cost": cost,
        "val/return": -cost,
        "best_timesteps": best["best_batch"] * ppo.n_steps * ppo.n_envs,
        "timesteps": module.timesteps,
        "kept": [steps for steps, _ in list_kept(folder / "checkpoints")],
        "collapsed": module.monitor.collapsed,
        **module.last_report,
    }


def describe_results(folder: Path, summary: dict[str, Any], declined: int) -> dict[str, Any]:
    """Return the few figures that matter, for the end of the output."""
    shown = {
        "best validation": f"return {summary['val/return']:.4g} "
        f"at step {summary['best_timesteps']:,} of {summary['timesteps']:,}",
    }
    if "rl/phi" in summary:  # absent where an earlier version's run had nothing left to do
        actions = ", ".join(f"{name} {summary[f'rl/action/{name}']:.0%}" for name in ACTIONS)
        spread = f" ± {summary['rl/return_spread']:.2g}" if "rl/return_spread" in summary else ""
        mean = f"return {summary['rl/return_mean']:.4g}{spread}, " if spread else ""
        shown["last rollout"] = f"{mean}{actions}"
        shown["its models"] = (
            f"Φ {summary['rl/phi']:.3g}, {summary['rl/in_band']:.0%} in the band, "
            f"perplexity {summary['rl/perplexity']:.4g}"
        )
    if summary["collapsed"]:
        shown["stopped"] = f"{declined} validations in a row were significantly below the best"
    return {**shown, "all figures": folder / "summary.json"}


def describe_run(conf: RunConf, shared: SharedParts, done: int) -> dict[str, Any]:
    """Return the main settings of a run, for the top of its output."""
    rl, states = conf.rl, shared.start_states["train"]
    steps = count_rollouts(conf, rl.total_timesteps) * rl.n_steps * rl.n_envs
    return {
        "schedule": f"{steps:,} steps of {rl.inner_steps} optimizer steps, "
        f"{rl.n_envs} environments, episodes of {rl.max_steps}" + f", {done:,} done" * bool(done),
        "reward": rl.reward.name,
        "language model": f"{shared.model.num_parameters():,} parameters, "
        f"perplexity {shared.base_perplexity:.4g} at the base",
        "start states": f"{len(states)}, Φ {states.phi.min():.2g} to {states.phi.max():.2g}",
        "seed": conf.seed,
    }
