"""Memory and time of saving and reading a checkpoint of a model with AdamW's state.

    python experiments/checkpoint_cost/measure.py --millions 100 --folder /tmp

Each way runs in a process of its own. Peaks are those of the kernel (VmHWM), set back before the
work; mapped pages of a file count in them although the kernel can take them back.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from infinito.models import checkpoint_file
from infinito.models.checkpoint_file import read_checkpoint, write_checkpoint

LAYERS = 24
WAYS = (
    "bytes alone", "torch.save", "torch.save without CRC-32", "in memory first",
    "streamed with SHA-256", "streamed",
    "read twice", "read", "mapped",
)  # fmt: skip


def make_state(millions: float) -> dict[str, Any]:
    """Return weights and two moments of each, float32, as a training holds them."""
    side = int((millions * 1e6 / LAYERS) ** 0.5)
    tensors = [torch.rand(side, side) for _ in range(3 * LAYERS)]
    return {
        "infinito": {"format": 1},
        "state_dict": {str(n): each for n, each in enumerate(tensors[:LAYERS])},
        "optimizer_states": tensors[LAYERS:],
    }


def memory_mib(name: str) -> float:
    """Return a line of /proc/self/status."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) / 1024


def save_in_memory_first(state: dict[str, Any], path: Path) -> None:
    """Write as infinito 0.1 did: the whole archive as bytes, then its hash, then the file."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    hashlib.sha256(content).hexdigest()
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def save_plainly(state: dict[str, Any], path: Path) -> None:
    """Write by torch.save, and sync."""
    with path.open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())


def save_without_sums(state: dict[str, Any], path: Path) -> None:
    """Write by torch.save without the archive's CRC-32, and sync."""
    torch.serialization.set_crc32_options(False)
    save_plainly(state, path)


def save_with_sha256(state: dict[str, Any], path: Path) -> None:
    """Write as infinito 0.2 did: with a running SHA-256 in place of XXH3."""
    checkpoint_file.xxh3_128 = hashlib.sha256  # type: ignore[assignment, attr-defined]
    write_checkpoint(state, path)


def write_bytes(state: dict[str, Any], path: Path) -> None:
    """Write the tensors' bytes and sync, with no archive, no checksum."""
    with path.open("wb") as file:
        for tensor in (*state["state_dict"].values(), *state["optimizer_states"]):
            file.write(memoryview(tensor.numpy()).cast("B"))
        file.flush()
        os.fsync(file.fileno())


def read_twice(path: Path) -> dict[str, Any]:
    """Read as infinito 0.1 did: the file as bytes for the hash, then again by torch.load."""
    data = path.read_bytes()
    hashlib.sha256(data).hexdigest()
    return torch.load(path, weights_only=True)


def measure(way: str, millions: float, folder: Path) -> None:
    """Print the figures of one way as a row."""
    path = folder / "measured.ckpt"
    saves = {
        "bytes alone": write_bytes,
        "torch.save": save_plainly,
        "torch.save without CRC-32": save_without_sums,
        "in memory first": save_in_memory_first,
        "streamed with SHA-256": save_with_sha256,
        "streamed": write_checkpoint,
    }
    state = make_state(millions) if way in saves else None
    Path("/proc/self/clear_refs").write_text("5")  # sets VmHWM back
    before_mib, began_s, cpu_s = memory_mib("VmRSS"), time.perf_counter(), time.process_time()
    if state is not None:
        saves[way](state, path)
    else:
        mapped = way == "mapped"
        state = read_twice(path) if way == "read twice" else read_checkpoint(path, mapped=mapped)
        if mapped:
            sum(float(each.sum()) for each in state["state_dict"].values())  # the weights alone
    size_mib = path.stat().st_size / 2**20
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_s
    peak_mib = memory_mib("VmHWM")
    row = (way, millions, size_mib, before_mib, peak_mib, peak_mib - before_mib, took_s, cpu_s)
    csv.writer(sys.stdout).writerow(
        f"{each:.4g}" if isinstance(each, float) else each for each in row
    )


def main() -> None:
    """Measure all ways, several times in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--millions", type=float, default=100.0)
    parser.add_argument("--folder", type=Path, default=Path("/tmp"))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--ways", nargs="+", default=WAYS)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    given = parser.parse_args()
    torch.set_num_threads(1)
    if given.one:
        measure(given.one, given.millions, given.folder)
        return
    print("way,million parameters,file MiB,before MiB,peak MiB,more MiB,seconds,CPU seconds")
    for _ in range(given.repeats):
        for way in given.ways:
            sizes = ("--millions", str(given.millions), "--folder", str(given.folder))
            subprocess.run([sys.executable, __file__, "--one", way, *sizes], check=True)
    (given.folder / "measured.ckpt").unlink()


if __name__ == "__main__":
    main()
