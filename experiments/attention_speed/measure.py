"""Time and peak memory of every attention backend against torch's SDPA, on one thread of a CPU.

    python experiments/attention_speed/measure.py

Takes about three minutes and writes results.json beside this file; report.py makes the table and
the plot of it. Contestants run in turn, so that a machine busy with other things is busy with all
of them; times are of the thread, ratios are of medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from contestants import SHAPES, YARDSTICK, Attend, backend, contestants, exponent
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from infinito.attention import METRICS, attend_prepared, prepare

HERE = Path(__file__).parent
ROUNDS, SLOW_ROUNDS, SLOW_S = 9, 3, 0.5
MEMORY = (
    ("fused_cpu l1", (512, 2048, 4096)),
    ("fused_cpu dot", (512, 2048, 4096)),
    ("fused_cpu sq_l2", (512, 2048)),
    ("fused_cpu cosine", (512, 2048)),
    ("fused_cpu l2", (512, 2048)),
    ("fused_cpu linf", (512, 2048)),
    ("fused_cpu lp", (512, 2048)),
    ("sdpa dot", (512, 2048, 4096)),
    ("sdpa sq_l2", (512, 2048)),
    ("sdpa cosine", (512, 2048)),
    ("chunked l1", (512, 2048, 4096)),
    ("chunked dot", (512, 2048)),
    ("chunked sq_l2", (512, 2048)),
    ("chunked cosine", (512, 2048)),
    ("chunked l2", (512, 2048)),
    ("chunked linf", (512,)),
    ("chunked lp", (512,)),
    ("cdist l1", (512, 2048)),
)
CACHED = ((1, 8, 8, 1024), (1, 8, 8, 4096), (8, 8, 8, 1024), (1, 8, 2, 2048))
"""(batch, heads, kv_heads, cached tokens)."""


def main() -> None:
    """Measure everything, or with --memory one contestant (in a process of its own)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", nargs=2, metavar=("CONTESTANT", "TIME"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    if options.memory:
        name, length = options.memory
        print(peak_memory(backend(*name.split()), int(length)))
        return
    results = {
        "machine": machine(),
        "time": {str(shape): time_shape(shape) for shape in SHAPES},
        "decoding": {str(cached): time_decoding(cached) for cached in CACHED},
        "memory": {
            name: {length: measure_memory(name, length) for length in lengths}
            for name, lengths in MEMORY
        },
    }
    (HERE / "results.json").write_text(json.dumps(results, indent=1) + "\n")


def machine() -> dict[str, str]:
    """Return what the numbers depend on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    fields = dict(line.split("\t: ", 1) for line in lines if "\t: " in line)
    names = ("model name", "cpu family", "model", "vendor_id")
    cpu = ", ".join(f"{name} {fields.get(name)}" for name in names if name in fields)
    return {
        "cpu": cpu,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def time_shape(shape: tuple[int, ...]) -> dict[str, dict[str, float]]:
    """Return the median seconds of forward and of both directions, per contestant."""
    tensors = [torch.randn(shape, requires_grad=True) for _ in range(3)]
    slope = torch.randn(shape)
    racers = contestants(shape)
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in racers}
    for name in racers:
        run_once(racers[name], tensors, slope)
    for _ in range(ROUNDS):
        for name, runs in taken.items():
            if len(runs) < SLOW_ROUNDS or runs[-1][1] < SLOW_S:
                runs.append(run_once(racers[name], tensors, slope))
    return {
        name: {
            "forward_s": statistics.median(run[0] for run in runs),
            "both_s": statistics.median(run[1] for run in runs),
        }
        for name, runs in taken.items()
    }


def run_once(attend: Attend, tensors: list[Tensor], slope: Tensor) -> tuple[float, float]:
    """Return thread seconds of a forward, and of it with its backward."""
    start = time.thread_time()
    out = attend(*tensors)
    middle = time.thread_time()
    torch.autograd.grad(out, tensors, slope)
    return middle - start, time.thread_time() - start


@torch.no_grad()
def time_decoding(cached: tuple[int, int, int, int]) -> dict[str, float]:
    """Return the median seconds in which one new token attends to a cache."""
    batch, heads, kv_heads, length = cached
    queries = torch.randn(batch, heads, 1, 64)
    keys, values = (torch.randn(batch, kv_heads, length, 64) for _ in range(2))
    grouped = heads != kv_heads
    racers: dict[str, Attend] = {
        YARDSTICK: lambda q, k, v: scaled_dot_product_attention(q, k, v, enable_gqa=grouped)
    }
    for metric in ("l1", "dot", "sq_l2", "l2", "cosine", "linf", "lp"):
        racers[f"fused_cpu {metric}"] = behind_cache(metric, keys)
    taken: dict[str, list[float]] = {name: [] for name in racers}
    for _ in range(60):
        for name, attend in racers.items():
            start = time.thread_time()
            attend(queries, keys, values)
            taken[name].append(time.thread_time() - start)
    return {name: statistics.median(runs) for name, runs in taken.items()}


def behind_cache(metric: str, keys: Tensor) -> Attend:
    """Return what a model does for one token: prepare it alone, for its cache holds prepared keys.

    Only `cosine` changes keys, which it scales to length 1.
    """
    p = exponent(metric)
    _, cached, _, _ = prepare(keys, keys, keys, metric, p=p)

    def attend(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        newest = keys[:, :, -1:]
        queries, _, _, factor = prepare(queries, newest, newest, metric, p=p)
        kernel = METRICS[metric].KERNEL
        return attend_prepared(
            queries, cached, values, kernel=kernel, factor=factor, p=p, backend="fused_cpu"
        )

    return attend


def measure_memory(name: str, length: int) -> float:
    """Return `peak_memory` as a fresh process measures it, free memory returned at once."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "65536", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, __file__, "--memory", name, str(length)]
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return float(result.stdout)


def peak_memory(attend: Attend, length: int) -> float:
    """Return the extra peak of forward and backward over bytes of the queries.

    Extra is all beyond the three inputs and the output's gradient: outputs, gradients, workspace.
    """
    shape = (2048 // length or 1, 8, length, 64)
    small = [torch.randn(1, 8, 128, 64, requires_grad=True) for _ in range(3)]
    torch.autograd.grad(attend(*small).sum(), small)
    tensors = [torch.randn(shape, requires_grad=True) for _ in range(3)]
    slope = torch.randn(shape)
    before = resident_bytes("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts anew
    grads = torch.autograd.grad(attend(*tensors), tensors, slope)
    assert len(grads) == 3
    return (resident_bytes("VmHWM") - before) / (slope.numel() * 4)


def resident_bytes(field: str) -> int:
    """Return VmRSS (now) or VmHWM (at most) of this process."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


if __name__ == "__main__":
    main()
