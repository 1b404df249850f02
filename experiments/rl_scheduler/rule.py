"""A policy written by hand on the same test episodes: can a schedule beat the controls at all?

python experiments/rl_scheduler/rule.py --runs <folder> --set rl.reward.perplexity=5
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch
from study import columns

from infinito.cli.composition import check
from infinito.data.assembly import build_data_module
from infinito.paths import conf_dir
from infinito.rl.assembly import build_player
from infinito.rl.environment.episodes import Episodes
from infinito.rl.environment.shared_parts import load_shared_parts
from infinito.rl.evaluation.controls import MIXED, PHI, TEXT
from infinito.run_folder.records import write_json


def follow_rule(episodes: Episodes) -> np.ndarray:
    """Return PHI (MIXED if perplexity is high) for a low Φ, MIXED for a high one, TEXT between."""
    metrics = episodes.metrics
    is_bad = metrics.perplexity > 3 * episodes.settings.base_perplexity
    low = np.where(is_bad, MIXED, PHI)
    return np.where(metrics.phi < 3.8, low, np.where(metrics.phi > 5.5, MIXED, TEXT))


def main() -> None:
    """Write rule.json: returns, final losses and action shares of the test episodes."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--runs", type=Path, required=True)
    arguments.add_argument("--out", type=Path, default=Path(__file__).parent)
    arguments.add_argument("--set", dest="overrides", nargs="*", default=[], help="overrides")
    options = arguments.parse_args()
    torch.set_num_threads(1)
    run = check(["+experiment=rl_scheduler", *options.overrides], conf_dir())
    shared = load_shared_parts(run, build_data_module(run), options.runs)
    played = build_player(run, shared, "test", run.rl.episodes)(follow_rule)
    write_json(options.out / "rule.json", columns(played))


if __name__ == "__main__":
    main()
