"""Runs the contestants in turns, each in a process of its own, and what Φ and memory add in one.

Goes on where it was stopped; writes steps.csv, added.json and table.md beside this file.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

import added
import contestants

HERE = Path(__file__).parent
STEPS, ADDED = HERE / "steps.csv", HERE / "added.json"
NAMES = ["peft, bare loop", *contestants.OWN, "peft, Trainer"]
FIELDS = ["contestant", "repeat", "step_s", "peak_mib"]


def rows() -> list[dict[str, str]]:
    """Return what was measured so far."""
    if not STEPS.exists():
        return []
    with STEPS.open() as file:
        return list(csv.DictReader(file))


def add(contestant: str, repeat: int, arguments: argparse.Namespace) -> None:
    """Measure a contestant in a new process, and add a row."""
    places = ["--model", arguments.model, "--text", arguments.text, "--work", arguments.work]
    finished = subprocess.run(
        [sys.executable, __file__, "--child", contestant, *map(str, places)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"},
        capture_output=True,
        text=True,
    )
    lines = [line for line in finished.stdout.splitlines() if line.startswith("RESULT ")]
    if not lines:
        raise RuntimeError(finished.stderr[-2000:])
    found = json.loads(lines[0].removeprefix("RESULT "))
    new = not STEPS.exists()
    with STEPS.open("a", newline="") as file:
        writer = csv.DictWriter(file, FIELDS)
        if new:
            writer.writeheader()
        step_s = f"{median(found['steps_s'][1:]):.3f}"
        writer.writerow(
            {
                "contestant": contestant,
                "repeat": repeat,
                "step_s": step_s,
                "peak_mib": round(found["peak_mib"]),
            }
        )
    print(contestant, repeat, step_s, flush=True)


def report() -> None:
    """Write table.md: medians over the repeats."""
    found = rows()
    lines = ["| contestant | repeats | CPU s a step | over the bare loop | peak, GiB | over it |"]
    lines.append("|" + "---|" * 6)
    base: tuple[float, float] | None = None
    for name in NAMES:
        own = [row for row in found if row["contestant"] == name]
        if not own:
            continue
        step_s = median(float(row["step_s"]) for row in own)
        gib = median(float(row["peak_mib"]) for row in own) / 1024
        base = base or (step_s, gib)
        ratios = f"{step_s / base[0]:.2f}", f"{gib / base[1]:.2f}"
        lines.append(
            f"| {name} | {len(own)} | {step_s:.2f} | {ratios[0]} | {gib:.2f} | {ratios[1]} |"
        )
    if ADDED.exists():
        lines += ["", *added.table(json.loads(ADDED.read_text()))]
    (HERE / "table.md").write_text("\n".join(lines) + "\n")


def main() -> None:
    """Measure what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, required=True, help="GPT-2, of real_size/models.py")
    parser.add_argument("--text", type=Path, required=True, help="tiny Shakespeare's input.txt")
    parser.add_argument("--work", type=Path, default=Path("/tmp/lora_speed"))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.child:
        found = contestants.run(arguments.child, arguments.model, arguments.text, arguments.work)
        print("RESULT", json.dumps(found))
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    for repeat in range(arguments.repeats):
        for name in NAMES:
            done = [row for row in rows() if row["contestant"] == name]
            if len(done) <= repeat:
                add(name, repeat, arguments)
                report()
        if not ADDED.exists():
            ADDED.write_text(json.dumps(added.measure(arguments.model), indent=1) + "\n")
            report()


if __name__ == "__main__":
    main()
