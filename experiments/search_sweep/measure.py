"""How long do fifty simulations of the original's size take, and how much of it is the sweep's?

    python experiments/search_sweep/measure.py [--trials 50] [--threads 2] [--launcher basic]

Wall time counts from the first proposal to the last recorded result; imports and the report are
left out, as the original's figure left them out. CPU seconds are those of this process.
"""

from __future__ import annotations

import argparse
import importlib
import json
import platform
import sys
import tempfile
import time
from pathlib import Path

from infinito.run import main as infinito
from infinito.search.history import seconds_in
from infinito.search.journal import read
from infinito.search.sweep import Sweep

SIZE = ("model.dim=256", "attention.heads=8", "data.batch_size=8")
"""5.7 million parameters, batches of 8 windows of 16 tokens."""


def main() -> None:
    """Runs the sweep in a folder of its own and prints what it took."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=50)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--launcher", default="basic")
    parser.add_argument("overrides", nargs="*")
    arguments = parser.parse_args()
    importlib.import_module("infinito.jobs.trial")  # what every trial needs

    taken: dict[str, float] = {}
    run = Sweep.run

    def timed(sweep: Sweep) -> str:
        wall_s, cpu_s = time.perf_counter(), time.process_time()
        try:
            return run(sweep)
        finally:
            taken.update(wall_s=time.perf_counter() - wall_s, cpu_s=time.process_time() - cpu_s)

    Sweep.run = timed  # type: ignore[method-assign]
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
        seconds = seconds_in(read(Path(folder) / "journal.jsonl"))
    inside_s = sum(seconds.values())
    print(
        json.dumps(
            {
                "trials": len(seconds),
                "threads": arguments.threads,
                "launcher": arguments.launcher,
                "jobs": arguments.jobs,
                **{name: round(value, 3) for name, value in taken.items()},
                "wall_s_per_trial": round(taken["wall_s"] / len(seconds), 4),
                "inside_trials_s": round(inside_s, 3),
                "overhead_s_per_trial": (
                    round((taken["wall_s"] - inside_s) / len(seconds), 4)
                    if arguments.jobs == 1
                    else None
                ),
                "machine": platform.platform(),
            },
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
