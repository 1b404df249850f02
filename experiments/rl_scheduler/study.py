"""Five policies against every control on the same test episodes; resumable seed by seed.

python experiments/rl_scheduler/study.py --runs <folder for the runs> [--steps 30000]
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from infinito import run as program
from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.paths import conf_dir
from infinito.rl.assembly import build_player
from infinito.rl.environment.shared_parts import load_shared_parts
from infinito.rl.evaluation.against_controls import save_episodes
from infinito.rl.evaluation.comparison import compare_policies, find_best_static
from infinito.rl.evaluation.controls import CONTROLS
from infinito.rl.evaluation.trajectories import Trajectories
from infinito.rl.opening import POLICIES, open_schedule
from infinito.run_folder.records import write_json

HERE = Path(__file__).parent


def main() -> None:
    """Play the controls, then train and play one policy after another; skip finished ones."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--runs", type=Path, required=True)
    arguments.add_argument("--steps", type=int, default=30_000)
    arguments.add_argument("--out", type=Path, default=HERE)
    arguments.add_argument("--seeds", type=int, nargs="+", default=list(range(5)))
    arguments.add_argument("--set", dest="overrides", nargs="*", default=[], help="overrides")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    options.runs.mkdir(parents=True, exist_ok=True)
    fixed = [
        "+experiment=rl_scheduler",
        "trainer.threads=1",
        f"rl.total_timesteps={options.steps}",
        *options.overrides,
    ]
    if not (options.out / "controls.json").is_file():
        play_controls(check(fixed, conf_dir()), options.runs, options.out)
    for seed in options.seeds:
        if not (options.out / f"seeds/{seed}.json").is_file():
            learn_and_play(fixed, seed, options.runs, options.out)


def play_controls(conf: RunConf, folder: Path, out: Path) -> None:
    """Play the controls on validation start states, to choose a baseline, and on test ones."""
    shared = load_shared_parts(conf, build_data_module(conf), folder)
    valid = build_player(conf, shared, "valid", conf.rl.episodes)
    statics = {name: valid(CONTROLS[name]) for name in CONTROLS if name.startswith("static")}
    test = build_player(conf, shared, "test", conf.rl.episodes)
    played = {name: test(policy) for name, policy in CONTROLS.items()}
    baseline = find_best_static(statics)
    save_episodes(folder / "controls.npz", played)
    write_json(
        out / "controls.json",
        {
            "baseline": baseline,
            "validation_returns": {name: float(p.returns.mean()) for name, p in statics.items()},
            "base_perplexity": shared.base_perplexity,
            "start_phi": shared.start_states["test"].phi.tolist(),
            "policies": compare_policies(played, baseline),
            **{name: columns(each) for name, each in played.items()},
        },
    )


def learn_and_play(fixed: list[str], seed: int, runs: Path, out: Path) -> None:
    """Train one policy, or continue its training, and play the test episodes."""
    folder = runs / f"seed_{seed}"
    began, cpu = time.time(), time.process_time()
    overrides = [*fixed, f"seed={seed}"]
    if (folder / "checkpoints/last.ckpt").is_file():
        steps = next(each for each in fixed if each.startswith("rl.total_timesteps="))
        run = check([f"resume={folder}", steps], conf_dir())
    else:
        folder.mkdir(exist_ok=True)
        if not (folder / "start_states.ckpt").exists():
            (folder / "start_states.ckpt").symlink_to((runs / "start_states.ckpt").absolute())
        (folder / "config.yaml").unlink(missing_ok=True)
        run = check(overrides, conf_dir())
    program.execute(run, folder, overrides)
    trained_s, trained_cpu_s = time.time() - began, time.process_time() - cpu
    reading = check(["task=evaluate", f"checkpoint={folder}", "trainer.threads=1"], conf_dir())
    shared, policies, _, timesteps = open_schedule(reading)
    play = build_player(reading, shared, "test", reading.rl.episodes)
    played = {name: play(policies[name]) for name in POLICIES}
    null = build_player(reading, shared, "test", 20, null=True)
    differences = null(policies[POLICIES[0]]).returns - null(CONTROLS["random"]).returns
    save_episodes(folder / "episodes.npz", played)
    (out / "seeds").mkdir(exist_ok=True)
    write_json(
        out / f"seeds/{seed}.json",
        {
            "seed": seed,
            "timesteps": reading.rl.total_timesteps,
            "overrides": fixed,
            "best_timesteps": timesteps,
            "wall_s": trained_s,
            "cpu_s": trained_cpu_s,
            "validation_return": json.loads((folder / "summary.json").read_text())["val/return"],
            "null_difference": float(np.abs(differences).max()),
            **{name: columns(each) for name, each in played.items()},
        },
    )


def columns(played: Trajectories) -> dict[str, Any]:
    """Return the figures of each episode that the report reads."""
    return {
        "returns": played.returns.tolist(),
        "final_loss": played.final_loss.tolist(),
        "in_band": played.in_band.mean(1).tolist(),
        "actions": [float((played.actions == number).mean()) for number in range(3)],
    }


if __name__ == "__main__":
    main()
