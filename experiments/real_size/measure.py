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
ANSWER_TOKENS = (4, 4, 4)
"""Most tokens of an answer, by repeat: writing long ones would be most of a job."""
LEAN = ["optimizer.in_backward=true"]
MEDIUM = ["trainer.matmul_precision=medium"]
SHORT = ["optimizer.moments=bfloat16"]
CONTESTANTS: dict[str, list[str] | None] = {
    "infinito": [],
    "TRL": None,
    "in backward": LEAN,
    "in backward, bf16 products": [*LEAN, *MEDIUM],
    "LoRA": ["model.trainable=lora"],
    "TRL LoRA": None,
    "in backward, bf16 moments": [*LEAN, *SHORT],
    "in backward, bf16 moments and products": [*LEAN, *SHORT, *MEDIUM],
}
"""Overrides of infinito's runs; the first one leaves the batches that TRL takes."""


def child(model: Path, work: Path, contestant: str, answer_tokens: int) -> None:
    """Print phases and losses of one tuning."""
    overrides = CONTESTANTS[contestant]
    if overrides is None:
        import trl_run

        found = trl_run.run(
            model, work / "pairs.json", lora="LoRA" in contestant, answer_tokens=answer_tokens
        )
    else:
        import own

        length = f"generation.max_new_tokens={answer_tokens}"
        found = own.run(model, work / "run", [*overrides, length])
        shutil.rmtree(work / "run")
    print("RESULT", json.dumps({**found, "answer_tokens": answer_tokens}))


def measured(model: Path, work: Path, contestant: str, answer_tokens: int) -> dict[str, object]:
    """Run one tuning in a new process with one thread."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
    command = [sys.executable, __file__, "--child", contestant, "--model", str(model)]
    finished = subprocess.run(
        [*command, "--work", str(work), "--answer-tokens", str(answer_tokens)],
        env=environment,
        capture_output=True,
        text=True,
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
    parser.add_argument("--repeats", type=int, default=len(ANSWER_TOKENS))
    parser.add_argument("--answer-tokens", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.child:
        child(arguments.model, arguments.work, arguments.child, arguments.answer_tokens)
        return
    arguments.work.mkdir(parents=True, exist_ok=True)
    name = arguments.model.name
    for repeat in range(arguments.repeats):
        for contestant in arguments.only:
            if len(kept().get(name, {}).get(contestant, [])) <= repeat:
                tokens = ANSWER_TOKENS[repeat]
                found = measured(arguments.model, arguments.work, contestant, tokens)
                results = kept()  # another process may have added to it
                results.setdefault(name, {}).setdefault(contestant, []).append(found)
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
                print(name, contestant, "done", flush=True)


if __name__ == "__main__":
    main()
