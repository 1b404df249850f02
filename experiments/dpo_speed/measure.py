"""Runs the contestants in turn, each in a process of its own; goes on where it was stopped."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"


def child(name: str, contestant: str) -> None:
    """Prints the CPU seconds a step and the peak memory above imports of one training."""
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
    """A line of /proc/self/status, in MiB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise AssertionError(field)


def measured(name: str, contestant: str) -> dict[str, float]:
    """One training in a new process with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, __file__, "--child", name, contestant]
    finished = subprocess.run(command, env=environment, capture_output=True, text=True)
    for line in finished.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    raise RuntimeError(finished.stderr[-2000:])


def main() -> None:
    """Measures every recipe that lacks repeats, and writes results.json and table.md."""
    from recipes import RECIPES

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--only", choices=RECIPES, nargs="*", default=list(RECIPES))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.child:
        child(*arguments.child)
        return
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for repeat in range(arguments.repeats):
        for name in arguments.only:
            contestants = ["infinito", "TRL grouped" if RECIPES[name].bucketed else "TRL"]
            for contestant in contestants:
                kept = results.setdefault(name, {}).setdefault(contestant, [])
                if len(kept) <= repeat:
                    kept.append(measured(name, contestant))
                    print(name, contestant, kept[-1], flush=True)
                    RESULTS.write_text(json.dumps(results, indent=1) + "\n")
                    (HERE / "table.md").write_text(table(results))


def table(results: dict[str, dict[str, list[dict[str, float]]]]) -> str:
    """The medians as Markdown."""
    from recipes import RECIPES

    lines = [
        "| row | TRL, CPU s a step | infinito | TRL/infinito | wanted | TRL, MiB | infinito "
        "| infinito/TRL | wanted |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, recipe in RECIPES.items():
        found = {**results.get(name.removesuffix(", bucketed"), {}), **results.get(name, {})}
        for yardstick in ("TRL", "TRL grouped"):
            if not {yardstick, "infinito"} <= set(found) or name not in results:
                continue
            theirs, own = (
                {key: median(each[key] for each in found[who]) for key in ("cpu_s", "mib")}
                for who in (yardstick, "infinito")
            )
            label = name if yardstick == "TRL" else f"{name}, TRL with group_by_length"
            wanted = recipe.wanted_speed if yardstick == "TRL" else None
            memory = recipe.wanted_memory if yardstick == "TRL" else None
            lines.append(
                f"| {label} | {theirs['cpu_s']:.3f} | {own['cpu_s']:.3f} "
                f"| {theirs['cpu_s'] / own['cpu_s']:.2f} | {f'≥ {wanted}' if wanted else ''} "
                f"| {theirs['mib']:.0f} | {own['mib']:.0f} | {own['mib'] / theirs['mib']:.2f} "
                f"| {f'≤ {memory}' if memory else ''} |"
            )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
