"""Runs the contestants in turn, each in a process of its own; goes on where it was stopped."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"


def child(name: str, contestant: str) -> None:
    """Print the CPU seconds a step and the peak memory above imports of one training."""
    import dataclasses

    import torch
    from contestants import CONTESTANTS
    from recipes import RECIPES

    torch.set_num_threads(1)
    recipe = RECIPES[name]
    toy = dataclasses.replace(recipe, vocab=64, dim=16, layers=1, heads=1, steps=2)
    CONTESTANTS[contestant](toy)()  # imports what is imported late
    before = memory_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    times = CONTESTANTS[contestant](recipe)()
    seconds = (times[-1] - times[0]) / recipe.steps
    print("RESULT", json.dumps({"cpu_s": seconds, "mib": memory_mib("VmHWM") - before}))


def memory_mib(field: str) -> float:
    """Return a line of /proc/self/status, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise AssertionError(field)


def measured(name: str, contestant: str) -> dict[str, float]:
    """Run one training in a new process with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, __file__, "--child", name, contestant]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    for line in finished.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    raise RuntimeError(finished.stderr[-2000:])


def main() -> None:
    """Measure every recipe that lacks repeats, and write results.json."""
    from recipes import RECIPES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=RECIPES, nargs="*", default=list(RECIPES))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    for repeat in range(arguments.repeats):
        for name in arguments.only:
            contestants = ["infinito", "TRL grouped" if RECIPES[name].bucketed else "TRL"]
            for contestant in contestants:
                if len(kept().get(name, {}).get(contestant, [])) <= repeat:
                    found = measured(name, contestant)
                    print(name, contestant, found, flush=True)
                    results = kept()  # another process may have added to it
                    results.setdefault(name, {}).setdefault(contestant, []).append(found)
                    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def kept() -> dict[str, dict[str, list[dict[str, float]]]]:
    """Return what was measured so far, by recipe and contestant."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


if __name__ == "__main__":
    main()
