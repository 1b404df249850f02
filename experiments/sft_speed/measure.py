"""Runs the contestants in turn, each in a process of its own; goes on where it was stopped."""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"


def child(name: str, contestant: str) -> None:
    """Prints CPU seconds a step, peak memory above imports, and the loss of each step."""
    import torch
    from contestants import CONTESTANTS
    from recipes import RECIPES

    torch.set_num_threads(1)
    recipe = RECIPES[name]
    toy = dataclasses.replace(recipe, vocab=64, dim=16, layers=1, heads=1, steps=2)
    CONTESTANTS[contestant](toy)()  # imports what is imported late
    before = memory_mib("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    times, losses = CONTESTANTS[contestant](recipe)()
    steps = [later - earlier for earlier, later in itertools.pairwise(times)]
    found = {
        "cpu_s": statistics.fmean(steps[1:]),  # the first step allocates
        "mib": memory_mib("VmHWM") - before,
        "losses": losses,
    }
    print("RESULT", json.dumps(found))


def memory_mib(field: str) -> float:
    """A line of /proc/self/status, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise AssertionError(field)


def measured(name: str, contestant: str) -> dict:
    """One training in a new process with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, __file__, "--child", name, contestant]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    for line in finished.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    raise RuntimeError(finished.stderr[-2000:])


def main() -> None:
    """Measures every recipe that lacks repeats, writes results.json and table.md."""
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
            for contestant in ("infinito", "TRL"):
                results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
                if len(results.get(name, {}).get(contestant, [])) <= repeat:
                    found = measured(name, contestant)
                    print(name, contestant, found["cpu_s"], found["mib"], flush=True)
                    results.setdefault(name, {}).setdefault(contestant, []).append(found)
                    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
                    write_table(results)


def write_table(results: dict) -> None:
    """Write table.md: medians of what was measured so far."""
    lines = [
        "| recipe | repeats | s/step, infinito | s/step, TRL | ratio "
        "| MiB, infinito | MiB, TRL | ratio | largest difference of a step's loss |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, found in results.items():
        if not {"infinito", "TRL"} <= set(found):
            continue
        ours, theirs = found["infinito"], found["TRL"]
        times = [statistics.median(each["cpu_s"] for each in side) for side in (ours, theirs)]
        sizes = [statistics.median(each["mib"] for each in side) for side in (ours, theirs)]
        pairs = zip(ours[0]["losses"], theirs[0]["losses"], strict=True)
        gap = max(abs(first - second) for first, second in pairs)
        lines.append(
            f"| {name} | {min(len(ours), len(theirs))} | {times[0]:.3f} | {times[1]:.3f} | "
            f"{times[1] / times[0]:.2f} | {sizes[0]:.0f} | {sizes[1]:.0f} | "
            f"{sizes[0] / sizes[1]:.2f} | {gap:.1e} |"
        )
    (HERE / "table.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
