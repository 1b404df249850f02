"""`task=report`: a schedule's progress, its checkpoints against the best static action, plots."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.errors import CheckpointError
from infinito.objectives.phi import BAND
from infinito.rl.assembly import build_player, build_ppo
from infinito.rl.environment.shared_parts import load_ground
from infinito.rl.environment.spaces import ACTIONS
from infinito.rl.evaluation.controls import CONTROLS, agent
from infinito.rl.evaluation.figures import checkpoints_figure, schedule_figure
from infinito.rl.evaluation.intervals import Interval, best_static, table, verdict
from infinito.rl.evaluation.playing import Played
from infinito.rl.ppo.collapse import gap_test
from infinito.rl.ppo.kept_checkpoints import kept_steps
from infinito.rl.ppo.policy_files import load_policy, policy_checkpoint, policy_weights
from infinito.run_folder.folder import folder_of, record_config
from infinito.run_folder.records import write_json
from infinito.run_folder.schedules import is_schedule
from infinito.run_folder.tables import print_table

SHOWN = ("return_mean", "phi", "in_band", "perplexity", "entropy_nats", "kl_nats")
"""Of the last rollout, what the progress of a run shows."""


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Prints progress and checkpoints; writes report.json and two plots in `folder`.

    Raises:
        CheckpointError: `checkpoint` is no run of a schedule.
    """
    console = Console()
    if conf.trainer.threads is not None:
        torch.set_num_threads(conf.trainer.threads)
    if not is_schedule(conf.checkpoint):
        raise CheckpointError(
            f"`checkpoint`={conf.checkpoint} is no run of a schedule, and `task=report` reads "
            "those only. For others, use `task=evaluate` or `task=compare`."
        )
    source = folder_of(Path(str(conf.checkpoint)))
    assert source is not None
    done = progress(source, conf.rl.total_timesteps)
    print_table(console, f"progress of {source}", done)
    files = checkpoint_files(source)
    if not files:
        console.print("\nno checkpoint yet: the table of checkpoints needs one")
        return
    with console.status(f"playing {conf.rl.episodes} test episodes of {len(files)} checkpoints"):
        baseline, rows, best = checkpoint_rows(conf, source, files)
    record_config(folder, asdict(conf), overrides)
    report = {"run": str(source), "progress": done, "baseline": baseline, "checkpoints": rows}
    write_json(folder / "report.json", report)
    show(console, rows, baseline)
    arrays = {name: getattr(best, name) for name in ("actions", "phi", "perplexity")}
    arrays |= {f"terms/{name}": values for name, values in best.terms.items()}
    title = f"{source}, {files[0].stem} checkpoint, {conf.rl.episodes} test episodes"
    schedule_figure(arrays, list(ACTIONS), BAND, title).savefig(folder / "schedule.png", dpi=150)
    checkpoints_figure(rows, baseline).savefig(folder / "checkpoints.png", dpi=150)
    console.print(f"\nwritten to {folder}: report.json, schedule.png, checkpoints.png")


def progress(folder: Path, total: int) -> dict[str, Any]:
    """Where a training stands, finished or running, from what it has logged."""
    logged = folder / "tensorboard"
    events = EventAccumulator(str(logged))
    there = set(events.Reload().Tags()["scalars"]) if logged.is_dir() else set()
    if "rl/phi" not in there:
        return {"steps": f"0 of {total:,}"}
    last = {name: events.Scalars(f"rl/{name}")[-1] for name in SHOWN if f"rl/{name}" in there}
    report: dict[str, Any] = {"steps": f"{last['phi'].step:,} of {total:,}"}
    report |= {name: event.value for name, event in last.items()}
    for name in ("return", "gap", "gap_p", "decline_p"):
        if f"val/{name}" in there:
            event = events.Scalars(f"val/{name}")[-1]
            report[f"val/{name}"] = event.value
            report["validated at step"] = event.step
    return report


def checkpoint_files(folder: Path) -> list[Path]:
    """The best checkpoint first, then the kept ones in order, then the last one."""
    named = [folder / "checkpoints" / f"{name}.ckpt" for name in ("best", "last")]
    kept = [path for _, path in kept_steps(folder / "checkpoints")]
    return [path for path in (named[0], *kept, named[1]) if path.is_file()]


def checkpoint_rows(
    conf: RunConf, source: Path, files: Sequence[Path]
) -> tuple[str, list[dict[str, Any]], Played]:
    """The name of the best static action, a row for each checkpoint, and the first one's episodes.

    The static action is chosen on validation start states; the rows are of test ones.
    """
    ground = load_ground(conf, build_data_module(conf), source)
    ppo = build_ppo(conf, ground)
    valid, test, train = (
        build_player(conf, ground, bank, count)
        for bank, count in (
            ("valid", conf.rl.validation_episodes),
            ("test", conf.rl.episodes),
            ("train", conf.rl.episodes),
        )
    )
    statics = {name: valid(CONTROLS[name]) for name in CONTROLS if name.startswith("static ")}
    baseline = best_static(statics)
    control = test(CONTROLS[baseline])
    rows, first = [], None
    for path in files:
        _, checkpoint = policy_checkpoint(path)
        load_policy(ppo.policy, policy_weights(checkpoint), path)
        choose = agent(ppo.policy, sampled=False)
        played = test(choose)
        first = first or played
        (row, _) = table({path.stem: played, baseline: control}, baseline)
        gap, gap_p = gap_test(train(choose).returns, played.returns)
        steps = int(checkpoint["ppo"]["num_timesteps"])
        rows.append({**row, "timesteps": steps, "train_gap": gap, "train_gap_p": gap_p})
    assert first is not None
    return baseline, rows, first


def show(console: Console, rows: Sequence[dict[str, Any]], baseline: str) -> None:
    """Prints a row for each checkpoint."""
    shown = Table(box=None, header_style="bold")
    for heading in ("checkpoint", "steps", "return", "spread", f"excess over {baseline}"):
        shown.add_column(heading)
    for heading in ("train/test gap", "verdict"):
        shown.add_column(heading)
    for row in rows:
        shown.add_row(
            row["policy"],
            f"{row['timesteps']:,}",
            str(Interval(**row["return"])),
            f"{row['spread']:.3f}",
            str(Interval(**row["excess"])),
            f"{row['train_gap']:+.3f} (p {row['train_gap_p']:.2f})",
            verdict(row["excess"], baseline),
        )
    console.print()
    console.print(shown)
