"""`task=evaluate` of a schedule: test episodes of the policy against every control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from infinito.config import RunConf
from infinito.rl.assembly import build_player
from infinito.rl.environment.shared_parts import SharedParts
from infinito.rl.evaluation.comparison import (
    compare_policies,
    describe_difference,
    find_best_static,
)
from infinito.rl.evaluation.controls import CONTROLS, Policy
from infinito.rl.evaluation.trajectories import ARRAYS, Trajectories
from infinito.rl.opening import POLICIES, open_schedule
from infinito.run_folder.folder import record_config
from infinito.run_folder.records import provenance, write_json
from infinito.statistics import Interval, cluster_bootstrap


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float:
    """Writes evaluation.json and episodes.npz in `folder`; returns the excess return."""
    console = Console()
    if conf.trainer.threads is not None:
        torch.set_num_threads(conf.trainer.threads)
    with console.status("preparing the environments"):
        shared, choosers, source, timesteps = open_schedule(conf)
    with console.status("playing the static actions from validation start states"):
        play = build_player(conf, shared, "valid", conf.rl.validation_episodes)
        statics = {name: play(CONTROLS[name]) for name in CONTROLS if name.startswith("static")}
    baseline = find_best_static(statics)
    play = build_player(conf, shared, "test", conf.rl.episodes)
    played = {}
    for name, choose in {**choosers, **CONTROLS}.items():
        with console.status(f"playing {conf.rl.episodes} test episodes: {name}"):
            played[name] = play(choose)
    report: dict[str, Any] = {
        "checkpoint": str(source),
        "timesteps": timesteps,
        "episodes": conf.rl.episodes,
        "baseline": baseline,
        "policies": compare_policies(played, baseline),
        "null_environment": check_null_environment(conf, shared, choosers)
        if conf.rl.null_control
        else None,
    }
    excess = report["policies"][0]["excess"]
    report["verdict"] = describe_difference(excess, baseline)
    record_config(folder, asdict(conf), overrides)
    write_json(folder / "evaluation.json", {**report, "provenance": provenance({})})
    save_episodes(folder / "episodes.npz", played)
    show(console, report)
    console.print(f"\nwritten to {folder / 'evaluation.json'}", highlight=False, soft_wrap=True)
    return float(excess["mean"])


def check_null_environment(
    conf: RunConf, shared: SharedParts, choosers: dict[str, Policy]
) -> dict[str, Any]:
    """Policy less random where no step changes a model: an interval that must contain 0."""
    play = build_player(conf, shared, "test", conf.rl.episodes, null=True)
    agent, random = play(choosers[POLICIES[0]]), play(CONTROLS["random"])
    interval = cluster_bootstrap(agent.returns - random.returns, agent.starts)
    return {**vars(interval), "contains_zero": interval.low <= 0 <= interval.high}


def save_episodes(path: Path, played: dict[str, Trajectories]) -> None:
    """Writes the trajectories of every policy, for plots and tests."""
    arrays = {
        f"{policy}/{name}": getattr(each, name)
        for policy, each in played.items()
        for name in ARRAYS
    }
    for policy, each in played.items():
        arrays |= {f"{policy}/terms/{name}": value for name, value in each.terms.items()}
    np.savez_compressed(path, **arrays)


def show(console: Console, report: dict[str, Any]) -> None:
    """Prints the table and the verdict."""
    shown = Table(box=None, header_style="bold", title_justify="left")
    for heading in ("policy", "return", "spread", f"excess over {report['baseline']}"):
        shown.add_column(heading)
    for heading in ("test perplexity", "in band", "TEXT/PHI/MIXED"):
        shown.add_column(heading, justify="right")
    for row in report["policies"]:
        shown.add_row(
            row["policy"],
            str(Interval(**row["return"])),
            f"{row['spread']:.3f}",
            str(Interval(**row["excess"])),
            f"{row['final_perplexity']:.3f}",
            f"{row['in_band']:.1%}",
            "/".join(f"{share:.0%}" for share in row["actions"].values()),
        )
    console.print(shown)
    console.print(f"\nthe agent: {report['verdict']}", highlight=False)
    if (null := report["null_environment"]) is not None:
        inside = (
            "contains 0, as it must" if null["contains_zero"] else "does not contain 0: a fault"
        )
        interval = Interval(null["mean"], null["low"], null["high"])
        console.print(f"null environment, agent less random: {interval} {inside}", highlight=False)
