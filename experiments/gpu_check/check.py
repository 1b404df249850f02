"""Everything that needs a GPU to be known, in eight minutes of one: `make gpu-check`.

    python experiments/gpu_check/check.py                  # on a machine with a GPU
    python experiments/gpu_check/check.py --cpu-rehearsal  # the script itself, at a tiny size

Each stage runs in a process of its own and writes its rows at once, so that a check that is
stopped goes on with the stages that are missing. At the end gpu_check.json and gpu_check.md lie in
the folder that is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
LIMIT_S = 480.0
"""Seconds for all stages together."""

STAGES = {
    "attention": ("Distance kernels against the reference and SDPA", 100.0),
    "steps": ("A training step in bfloat16 against a nanoGPT-equal model", 150.0),
    "phi": ("What Φ adds to forward and backward pass", 60.0),
    "dpo": ("Preference tuning against TRL", 60.0),
    "generation": ("Greedy generation with a cache", 60.0),
    "resume": ("A training killed and resumed, with deterministic kernels", 120.0),
    "rl": ("Many small models in one pass", 60.0),
}
"""What each stage is, and the most seconds that it takes; it is ended then."""

REHEARSAL = (
    "**A rehearsal on a CPU: no figure here is of a GPU.** Sizes are tiny, and pure torch takes "
    "the place of the Triton kernels; it shows only that the script runs."
)


def main() -> int:
    """Run the missing stages; return 0 if every stage ran and found what it should."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, help="folder of the results")
    parser.add_argument("--only", nargs="+", choices=STAGES, default=list(STAGES))
    parser.add_argument("--again", action="store_true", help="repeat stages that have results")
    parser.add_argument("--cpu-rehearsal", action="store_true", help="tiny, on a CPU: no figures")
    parser.add_argument("--stage", choices=STAGES, help=argparse.SUPPRESS)
    given = parser.parse_args()
    device = "cpu" if given.cpu_rehearsal else "cuda"
    if device == "cuda" and not torch.cuda.is_available():
        print(
            "error: torch finds no GPU (CUDA) on this machine, and every figure of this check is "
            "of one. Run it where there is one; --cpu-rehearsal tries the script without figures.",
            file=sys.stderr,
        )
        return 2
    if given.stage:
        print(json.dumps(run_stage(given.stage, device)))
        return 0
    machine = describe_machine(device)
    name = machine["device"].lower().replace(" ", "_").replace("/", "_")
    out = given.out or HERE / "results" / name
    out.mkdir(parents=True, exist_ok=True)
    began_s = time.monotonic()
    for stage in given.only:
        file = out / f"{stage}.json"
        if not given.again and is_done(file, machine):
            print(f"{stage}: done before", flush=True)
            continue
        left_s = LIMIT_S - (time.monotonic() - began_s)
        if left_s < 5:
            print(f"{stage}: no time left of {LIMIT_S:g} s; run the command again")
            continue
        result = start_stage(stage, device, min(left_s, STAGES[stage][1]))
        file.write_text(json.dumps({"machine": machine, **result}, indent=1) + "\n")
        print(f"{stage}: {result['state']}, {result['took_s']:.0f} s", flush=True)
    return report(out, machine)


def describe_machine(device: str) -> dict[str, str]:
    """Return what the figures depend on."""
    is_gpu = device == "cuda"
    properties = torch.cuda.get_device_properties(0) if is_gpu else None
    commit = subprocess.run(
        ["git", "-C", str(HERE), "rev-parse", "HEAD"], capture_output=True, text=True, check=False
    ).stdout.strip()
    return {
        "device": properties.name if properties else "CPU rehearsal",
        "memory": f"{properties.total_memory / 2**30:.0f} GiB" if properties else "",
        "cuda": str(torch.version.cuda) if is_gpu else "",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "commit": commit or "unknown",
    }


def is_done(file: Path, machine: dict[str, str]) -> bool:
    """Return whether a stage has a whole result of this machine and code."""
    try:
        result = json.loads(file.read_text())
    except (OSError, ValueError):
        return False
    return result["state"] == "ok" and result["machine"] == machine


def start_stage(stage: str, device: str, limit_s: float) -> dict[str, Any]:
    """Run a stage in a process of its own; return its rows, or why there are none."""
    command = [sys.executable, str(HERE / "check.py"), "--stage", stage]
    command += ["--cpu-rehearsal"] * (device == "cpu")
    environment = {**os.environ, "CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    began_s = time.monotonic()
    result: dict[str, Any] = {"state": "ok", "rows": []}
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=limit_s, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        result["state"] = f"ended after {limit_s:.0f} s"
    else:
        if done.returncode:
            result["state"] = "failed"
            result["fault"] = done.stderr[-2000:]
        else:
            result["rows"] = json.loads(done.stdout.splitlines()[-1])
    return {**result, "took_s": time.monotonic() - began_s}


def run_stage(stage: str, device: str) -> list[dict[str, Any]]:
    """Return the rows of a stage, measured in this process."""
    import resuming
    import stages
    from timing import FULL, TINY

    sizes = FULL if device == "cuda" else TINY
    if device == "cpu":
        torch.set_num_threads(1)
    if stage == "resume":
        with tempfile.TemporaryDirectory() as folder:
            return resuming.check_resume(sizes, device, Path(folder))
    calls = {
        "attention": stages.check_attention,
        "steps": stages.check_steps,
        "phi": stages.check_phi,
        "dpo": stages.check_dpo,
        "generation": stages.check_generation,
        "rl": stages.check_rl,
    }
    return calls[stage](sizes, device)


def report(out: Path, machine: dict[str, str]) -> int:
    """Write gpu_check.json and gpu_check.md of all stages; return 0 if all is as it should be."""
    found = {stage: _read(out / f"{stage}.json") for stage in STAGES}
    (out / "gpu_check.json").write_text(json.dumps({"machine": machine, **found}, indent=1) + "\n")
    lines = [f"# {machine['device']}", ""]
    if machine["device"] == "CPU rehearsal":
        lines += [REHEARSAL, ""]
    lines += [", ".join(f"{key} {value}" for key, value in machine.items() if value), ""]
    faults = []
    for stage, result in found.items():
        lines += [f"## {STAGES[stage][0]}", ""]
        if result is None or result["state"] != "ok":
            state = "not run" if result is None else result["state"]
            faults.append(f"{stage}: {state}")
            lines += [f"No result: {state}.", ""]
            continue
        faults += [f"{stage}: wrong, {row}" for row in result["rows"] if row.get("right") is False]
        lines += [*tabulate(result["rows"]), "", f"{result['took_s']:.0f} s.", ""]
    text = "\n".join(lines)
    (out / "gpu_check.md").write_text(text)
    print(f"\n{text}\nwritten: {out / 'gpu_check.md'}")
    for fault in faults:
        print(f"fault: {fault}", file=sys.stderr)
    return 1 if faults else 0


def _read(file: Path) -> Any:
    return json.loads(file.read_text()) if file.is_file() else None


def tabulate(rows: list[dict[str, Any]]) -> list[str]:
    """Return rows as lines of a Markdown table."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    lines = ["| " + " | ".join(each.replace("_", " ") for each in columns) + " |"]
    lines.append("|---" * len(columns) + "|")
    for row in rows:
        lines.append("| " + " | ".join(_format(row.get(each)) for each in columns) + " |")
    return lines


def _format(value: Any) -> str:
    if value is None:
        return "—"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    raise SystemExit(main())
