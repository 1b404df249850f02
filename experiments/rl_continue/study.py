"""Continues a finished schedule with smaller steps: a row for each checkpoint on the way.

python experiments/rl_continue/study.py --run <run folder> --rows 7 --every 2000
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from infinito import run as program
from infinito.cli.composition import check
from infinito.models.checkpoint_file import read_checkpoint
from infinito.paths import conf_dir
from infinito.rl.evaluation.checkpoint_report import evaluate_checkpoints
from infinito.rl.evaluation.comparison import describe_difference
from infinito.rl.evaluation.figures import plot_checkpoints
from infinito.rl.ppo.kept_checkpoints import list_kept
from infinito.run_folder.records import write_json

HERE = Path(__file__).parent


def main() -> None:
    """Continue a copy of the run, play every checkpoint, write results.json and a plot."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--run", type=Path, required=True)
    arguments.add_argument(
        "--work", type=Path, required=True, help="folder of the copy that is continued"
    )
    arguments.add_argument("--every", type=int, default=2000)
    arguments.add_argument("--rows", type=int, default=7)
    arguments.add_argument("--episodes", type=int, default=50)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    folder = options.work
    if not folder.exists():
        shutil.copytree(options.run, folder)
        for _, path in list_kept(folder / "checkpoints"):
            path.unlink()
        began = read_checkpoint(folder / "checkpoints/last.ckpt")["ppo"]["num_timesteps"]
        name = f"checkpoints/step_{began:09d}.ckpt"
        shutil.copy(folder / "checkpoints/last.ckpt", folder / name)
    first = list_kept(folder / "checkpoints")[0][0]
    total = first + (options.rows - 1) * options.every
    done = read_checkpoint(folder / "checkpoints/last.ckpt")["ppo"]["num_timesteps"]
    if done < total:
        continue_training(folder, total, options.every)
    reading = [f"rl.episodes={options.episodes}", "trainer.threads=1"]
    run = check(["task=report", f"checkpoint={folder}", *reading], conf_dir())
    files = [path for _, path in list_kept(folder / "checkpoints")][: options.rows]
    baseline, rows, _ = evaluate_checkpoints(run, folder, files, Console())
    write_json(HERE / "results.json", {"baseline": baseline, "checkpoints": rows})
    plot_checkpoints(rows, baseline).savefig(HERE / "checkpoints.png", dpi=130)
    for row in rows:
        print(format_row(row, baseline))


def continue_training(folder: Path, total: int, every: int) -> None:
    """Continue the training with the settings of `+experiment=rl_continue`."""
    overrides = [
        "+experiment=rl_continue",
        f"resume={folder}",
        f"rl.total_timesteps={total}",
        f"rl.save_freq={every}",
        f'rl.keep=[best,last,"every:{every}"]',
        f"rl.validate_every={total}",
    ]
    program.execute(check(overrides, conf_dir()), folder, overrides)


def format_row(row: dict[str, Any], baseline: str) -> str:
    """Return a row of the table."""
    mean, excess = row["return"], row["excess"]
    return (
        f"| {row['timesteps']:,} | {mean['mean']:.3f} [{mean['low']:.3f}, {mean['high']:.3f}] "
        f"| {row['spread']:.2f} | {excess['mean']:+.3f} [{excess['low']:+.3f}, "
        f"{excess['high']:+.3f}] | {row['train_gap']:+.3f} (p {row['train_gap_p']:.2f}) "
        f"| {row['final_perplexity']:.2f} | {describe_difference(excess, baseline)} |"
    )


if __name__ == "__main__":
    main()
