"""`task=report` of a schedule: progress, and checkpoints against the best static action."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.objectives.phi import BAND
from infinito.pages.run_page import write_page_or_warn
from infinito.rl.assembly import build_player, build_ppo
from infinito.rl.environment.shared_parts import load_shared_parts
from infinito.rl.environment.spaces import ACTIONS
from infinito.rl.evaluation.against_controls import format_interval
from infinito.rl.evaluation.comparison import (
    compare_policies,
    find_best_static,
    find_direction,
)
from infinito.rl.evaluation.controls import CONTROLS, build_agent
from infinito.rl.evaluation.figures import plot_checkpoints, plot_schedule
from infinito.rl.evaluation.play_bar import show_steps
from infinito.rl.evaluation.trajectories import Trajectories
from infinito.rl.ppo.collapse import measure_gap
from infinito.rl.ppo.kept_checkpoints import list_kept
from infinito.rl.ppo.policy_files import (
    extract_policy_weights,
    load_policy,
    read_policy_checkpoint,
)
from infinito.run_folder.folder import find_run_folder, record_config
from infinito.run_folder.records import write_json
from infinito.run_folder.series.event_files import read_events
from infinito.run_folder.series.metrics_file import Columns, read_metrics
from infinito.run_folder.tables import print_table

SHOWN = ("return_mean", "phi", "in_band", "perplexity", "entropy_nats", "kl_nats")
"""Metrics of the last rollout that the progress table shows."""


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Print progress and checkpoints; write report.json, two plots and a page in `folder`."""
    console = Console()
    source = find_run_folder(Path(str(conf.checkpoint)))
    assert source is not None
    progress = read_progress(source, conf.rl.total_timesteps)
    print_table(console, f"progress of {source}", progress)
    files = list_checkpoints(source)
    if not files:
        console.print("\nno checkpoint yet: the table of checkpoints needs one")
        return
    baseline, rows, best = evaluate_checkpoints(conf, source, files, console)
    record_config(folder, asdict(conf), overrides)
    report = {"run": str(source), "progress": progress, "baseline": baseline, "checkpoints": rows}
    write_json(folder / "report.json", report)
    print_checkpoints(console, rows, baseline, conf.rl.episodes)
    arrays = {name: getattr(best, name) for name in ("actions", "phi", "perplexity")}
    arrays |= {f"terms/{name}": values for name, values in best.terms.items()}
    title = f"{source}, {files[0].stem} checkpoint, {conf.rl.episodes} test episodes"
    plot_schedule(arrays, list(ACTIONS), BAND, title).savefig(folder / "schedule.png", dpi=150)
    plot_checkpoints(rows, baseline).savefig(folder / "checkpoints.png", dpi=150)
    write_page_or_warn(folder)
    console.print(
        f"\nwritten to {folder}: report.html, report.json, schedule.png, checkpoints.png",
        highlight=False,
        soft_wrap=True,
    )


def read_progress(folder: Path, total: int) -> dict[str, Any]:
    """Return the steps, the last rollout and the last validation of a run, finished or running."""
    columns = read_metrics(folder) or read_events(folder).columns
    played, _ = read_last(columns, "rl/phi")
    if played is None:
        return {"steps": f"0 of {total:,}"}
    progress: dict[str, Any] = {"steps": f"{played:,} of {total:,}"}
    for name in SHOWN:
        step, value = read_last(columns, f"rl/{name}")
        if step is not None:
            progress[name] = value
    for name in ("return", "gap", "gap_p", "decline_p"):
        step, value = read_last(columns, f"val/{name}")
        if step is not None:
            progress[f"val/{name}"] = value
            progress["validated at step"] = step
    return progress


def read_last(columns: Columns, name: str) -> tuple[int | None, float | None]:
    """Return the last figure of a column and its step; None twice where there is none."""
    found = zip(columns.get("step", []), columns.get(name, []), strict=False)
    for step, value in reversed(list(found)):
        if step is not None and value is not None:
            return int(step), value
    return None, None


def list_checkpoints(folder: Path) -> list[Path]:
    """Return the best checkpoint, then the kept ones in order, then the last one."""
    best, last = (folder / "checkpoints" / f"{name}.ckpt" for name in ("best", "last"))
    kept = [path for _, path in list_kept(folder / "checkpoints")]
    return [path for path in (best, *kept, last) if path.is_file()]


def evaluate_checkpoints(
    conf: RunConf, source: Path, files: Sequence[Path], console: Console
) -> tuple[str, list[dict[str, Any]], Trajectories]:
    """Play the test episodes of each checkpoint and of the best static action.

    The static action is chosen on validation start states; the rows report test ones.

    Returns:
        The name of that action, a row for each checkpoint, and the first checkpoint's episodes.
    """
    with console.status("preparing the environments"):
        shared = load_shared_parts(conf, build_data_module(conf), source)
        ppo = build_ppo(conf, shared)
    statics = {name: policy for name, policy in CONTROLS.items() if name.startswith("static ")}
    episodes = conf.rl.validation_episodes * len(statics)
    episodes += conf.rl.episodes * (1 + 2 * len(files))
    purpose = f"playing {episodes:,} episodes of {len(files)} checkpoints"
    rows, first = [], None
    with show_steps(console, purpose, episodes * conf.rl.max_steps) as on_step:
        valid, test, train = (
            build_player(conf, shared, split, count, on_step=on_step)
            for split, count in (
                ("valid", conf.rl.validation_episodes),
                ("test", conf.rl.episodes),
                ("train", conf.rl.episodes),
            )
        )
        baseline = find_best_static({name: valid(policy) for name, policy in statics.items()})
        control = test(CONTROLS[baseline])
        for path in files:
            _, checkpoint = read_policy_checkpoint(path)
            load_policy(ppo.policy, extract_policy_weights(checkpoint), path)
            policy = build_agent(ppo.policy, sampled=False)
            played = test(policy)
            first = first or played
            (row, _) = compare_policies({path.stem: played, baseline: control}, baseline)
            gap, gap_p = measure_gap(train(policy).returns, played.returns)
            steps = int(checkpoint["ppo"]["num_timesteps"])
            rows.append({**row, "timesteps": steps, "train_gap": gap, "train_gap_p": gap_p})
    assert first is not None
    return baseline, rows, first


def print_checkpoints(
    console: Console, rows: Sequence[dict[str, Any]], baseline: str, episodes: int
) -> None:
    """Print a row for each checkpoint, within 80 columns."""
    console.print(
        f"\n{episodes} test episodes. Excess: return minus that of {baseline} in the same episode, "
        "95 %\ninterval. Gap: return on training start states minus that on test ones.\n",
        highlight=False,
    )
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("file")
    for heading in ("steps", "return", "excess", "gap", ""):
        table.add_column(heading, justify="right" if heading else "left", no_wrap=True)
    for row in rows:
        table.add_row(
            row["policy"] if row["policy"] in {"best", "last"} else "kept",
            f"{row['timesteps']:,}",
            f"{row['return']['mean']:.2f}",
            format_interval(row["excess"]),
            f"{row['train_gap']:+.2f} (p {row['train_gap_p']:.2f})",
            find_direction(row["excess"]),
        )
    console.print(table)
