"""`task=evaluate` of a schedule: test episodes of the policy against every control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from infinito.config import RunConf
from infinito.pages.run_page import write_page_or_warn
from infinito.rl.assembly import build_player
from infinito.rl.environment.shared_parts import SharedParts
from infinito.rl.evaluation.comparison import (
    compare_policies,
    describe_difference,
    find_best_static,
)
from infinito.rl.evaluation.controls import CONTROLS, Policy
from infinito.rl.evaluation.play_bar import show_steps
from infinito.rl.evaluation.trajectories import ARRAYS, Trajectories
from infinito.rl.opening import POLICIES, open_schedule
from infinito.run_folder.folder import record_config
from infinito.run_folder.records import provenance, write_json
from infinito.statistics import Interval, cluster_bootstrap


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> float:
    """Write evaluation.json and episodes.npz in `folder`; return the agent's excess return."""
    console = Console()
    with console.status("preparing the environments"):
        shared, policies, source, timesteps = open_schedule(conf)
    baseline, trajectories, null = _play_all(conf, shared, policies, console)
    report: dict[str, Any] = {
        "checkpoint": str(source),
        "timesteps": timesteps,
        "episodes": conf.rl.episodes,
        "baseline": baseline,
        "policies": compare_policies(trajectories, baseline),
        "null_environment": null,
    }
    excess = report["policies"][0]["excess"]
    report["verdict"] = describe_difference(excess, baseline)
    record_config(folder, asdict(conf), overrides)
    write_json(folder / "evaluation.json", {**report, "provenance": provenance({})})
    save_episodes(folder / "episodes.npz", trajectories)
    print_report(console, report)
    write_page_or_warn(folder)
    written = f"\nwritten to {folder}: evaluation.json, episodes.npz, report.html"
    console.print(written, highlight=False, soft_wrap=True)
    return float(excess["mean"])


def _play_all(
    conf: RunConf, shared: SharedParts, policies: dict[str, Policy], console: Console
) -> tuple[str, dict[str, Trajectories], dict[str, Any] | None]:
    """Play the static actions on validation start states, then all policies on test ones.

    Returns:
        The static action that validation chose, every policy's test episodes, and the result in
        the null environment.
    """
    statics = {name: policy for name, policy in CONTROLS.items() if name.startswith("static ")}
    compared = {**policies, **CONTROLS}
    episodes = conf.rl.validation_episodes * len(statics)
    episodes += conf.rl.episodes * (len(compared) + 2 * conf.rl.null_control)
    purpose = f"playing {episodes:,} episodes"
    with show_steps(console, purpose, episodes * conf.rl.max_steps) as on_step:
        count = conf.rl.validation_episodes
        play = build_player(conf, shared, "valid", count, on_step=on_step)
        baseline = find_best_static({name: play(policy) for name, policy in statics.items()})
        play = build_player(conf, shared, "test", conf.rl.episodes, on_step=on_step)
        trajectories = {name: play(policy) for name, policy in compared.items()}
        if not conf.rl.null_control:
            return baseline, trajectories, None
        play = build_player(conf, shared, "test", conf.rl.episodes, null=True, on_step=on_step)
        agent, random = play(policies[POLICIES[0]]), play(CONTROLS["random"])
    return baseline, trajectories, check_null_environment(agent, random)


def check_null_environment(agent: Trajectories, random: Trajectories) -> dict[str, Any]:
    """Compare the agent with the random policy where no action changes a model.

    Returns:
        The mean difference in return with its interval, which must contain 0.
    """
    interval = cluster_bootstrap(agent.returns - random.returns, agent.starts)
    return {**vars(interval), "contains_zero": interval.low <= 0 <= interval.high}


def save_episodes(path: Path, trajectories: dict[str, Trajectories]) -> None:
    """Write the trajectories of every policy, for plots and tests."""
    arrays = {
        f"{policy}/{name}": getattr(each, name)
        for policy, each in trajectories.items()
        for name in ARRAYS
    }
    for policy, each in trajectories.items():
        arrays |= {f"{policy}/terms/{name}": value for name, value in each.terms.items()}
    np.savez_compressed(path, **arrays)


def print_report(console: Console, report: dict[str, Any]) -> None:
    """Print the table, which fits 80 columns, and the verdict."""
    baseline = report["baseline"]
    console.print(
        f"{report['episodes']} test episodes. Excess: return minus that of {baseline} in the same\n"
        "episode, 95 % interval. PPL: perplexity of the final models on the test split. In\n"
        "band: share of the steps with Φ in its band. T/P/M: TEXT, PHI and MIXED.\n",
        highlight=False,
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("policy")
    for heading in ("return", "excess", "PPL", "in band", "T/P/M %"):
        table.add_column(heading, justify="right", no_wrap=True)
    for row in report["policies"]:
        table.add_row(
            row["policy"],
            f"{row['return']['mean']:.2f}",
            format_interval(row["excess"]),
            f"{row['final_perplexity']:.2f}",
            f"{row['in_band']:.0%}",
            "/".join(f"{100 * share:.0f}" for share in row["actions"].values()),
        )
    console.print(table)
    console.print(f"\nthe agent: {report['verdict']}", highlight=False)
    if (null := report["null_environment"]) is not None:
        inside = (
            "contains 0, as it must" if null["contains_zero"] else "does not contain 0: a fault"
        )
        interval = Interval(null["mean"], null["low"], null["high"])
        console.print(
            f"null environment: agent minus random is {interval},\nwhich {inside}",
            highlight=False,
            soft_wrap=True,
        )


def format_interval(interval: dict[str, float]) -> str:
    """Return a mean and its bounds to two digits, narrow enough for a table."""
    return f"{interval['mean']:+.2f} [{interval['low']:+.2f}, {interval['high']:+.2f}]"
