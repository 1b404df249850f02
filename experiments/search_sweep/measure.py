"""How long do fifty simulations of the original's size take, and how much of it is the sweep's?

    python experiments/search_sweep/measure.py [--trials 50] [--threads 2] [--launcher basic]

Wall time counts from the first proposal to the last recorded result; imports and the report are
left out, as the original's figure left them out. CPU seconds are those of this process.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from infinito.run import main as infinito
from infinito.sweeps.driving.sweep import Sweep
from infinito.sweeps.record.history import read_seconds
from infinito.sweeps.record.journal import read

SIZE = ("model.dim=256", "attention.heads=8", "data.batch_size=8")
"""5.7 million parameters, batches of 8 windows of 16 tokens."""


def main() -> None:
    """Run the sweep in a folder of its own and print what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--launcher", default="basic")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    trial: Any = importlib.import_module("infinito.tasks.trial")  # imports what every trial needs

    taken = {"wall_s": 0.0, "cpu_s": 0.0, "trial_wall_s": 0.0, "trial_cpu_s": 0.0}
    Sweep.run = counted(Sweep.run, taken, "")  # type: ignore[method-assign]
    trial.run = counted(trial.run, taken, "trial_")
    with tempfile.TemporaryDirectory() as folder:
        sys.argv[1:] = [
            "-m",
            "search=mcts_original",
            *SIZE,
            f"hydra.sweeper.n_trials={arguments.trials}",
            f"hydra.sweeper.n_jobs={arguments.jobs}",
            f"hydra/launcher={arguments.launcher}",
            "hydra.sweeper.report=false",
            f"hydra.sweep.dir={folder}",
            f"trainer.threads={arguments.threads}",
            "trainer.accelerator=cpu",
            *arguments.overrides,
        ]
        infinito()
        seconds = read_seconds(read(Path(folder) / "journal.jsonl"))
    in_process = arguments.launcher == "basic"
    figures = {
        "trials": len(seconds),
        "threads": arguments.threads,
        "launcher": arguments.launcher,
        "jobs": arguments.jobs,
        "load_1_min": os.getloadavg()[0],
        **(taken if in_process else {"wall_s": taken["wall_s"]}),
        "wall_s_per_trial": taken["wall_s"] / len(seconds),
    }
    if in_process:
        for clock in ("wall", "cpu"):
            beyond_s = taken[f"{clock}_s"] - taken[f"trial_{clock}_s"]
            figures[f"overhead_{clock}_s_per_trial"] = beyond_s / len(seconds)
    print(json.dumps(figures, indent=2))


def counted(function: Callable[..., Any], taken: dict[str, float], prefix: str) -> Any:
    """Return the function; its calls add their wall and CPU seconds to `taken`."""

    def timed(*arguments: Any) -> Any:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        try:
            return function(*arguments)
        finally:
            taken[f"{prefix}wall_s"] += time.perf_counter() - wall_s
            taken[f"{prefix}cpu_s"] += time.process_time() - cpu_s

    return timed


if __name__ == "__main__":
    main()
