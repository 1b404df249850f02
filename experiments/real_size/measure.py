"""Runs the contestants in turn, each in a process of its own; goes on where it was stopped."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
LEAN = ["optimizer.in_backward=true"]
SHORT = [*LEAN, "optimizer.moments=bfloat16"]
CONTESTANTS: dict[str, list[str] | None] = {
    "infinito": [],
    "TRL": None,
    "in backward": LEAN,
    "bf16 moments": SHORT,
    "bf16 moments and products": [*SHORT, "trainer.matmul_precision=medium"],
    "LoRA": ["model.trainable=lora"],
    "TRL LoRA": None,
}
"""Overrides of infinito's runs; the first one leaves the batches that TRL takes."""


def child(model: Path, work: Path, contestant: str) -> None:
    """Print phases and losses of one tuning."""
    overrides = CONTESTANTS[contestant]
    if overrides is None:
        import trl_run

        found = trl_run.run(model, work / "pairs.json", lora="LoRA" in contestant)
    else:
        import own

        found = own.run(model, work / "run", overrides)
        shutil.rmtree(work / "run")
    print("RESULT", json.dumps(found))


def measured(model: Path, work: Path, contestant: str) -> dict[str, object]:
    """Run one tuning in a new process with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, __file__, "--child", contestant, "--model", str(model)]
    finished = subprocess.run(
        [*command, "--work", str(work)], env=environment, capture_output=True, text=True
    )
    for line in finished.stdout.splitlines():
        if line.startswith("RESULT "):
            return json.loads(line.removeprefix("RESULT "))
    raise RuntimeError(finished.stderr[-2000:])


def kept() -> dict[str, dict[str, list[dict[str, object]]]]:
    """Return what was measured so far, by model and contestant."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def main() -> None:
    """Measure every contestant that lacks repeats, and write results.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--model", type=Path, required=True, help="a folder of models.py")
    parser.add_argument("--work", type=Path, default=Path("/tmp/real_size"))
    parser.add_argument("--only", choices=CONTESTANTS, nargs="*", default=list(CONTESTANTS))
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.model, arguments.work, arguments.child)
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    name = arguments.model.name
    for repeat in range(arguments.repeats):
        for contestant in arguments.only:
            if len(kept().get(name, {}).get(contestant, [])) <= repeat:
                found = measured(arguments.model, arguments.work, contestant)
                results = kept()  # another process may have added to it
                results.setdefault(name, {}).setdefault(contestant, []).append(found)
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
                print(name, contestant, "done", flush=True)


if __name__ == "__main__":
    main()
