"""A training by commands: undisturbed, and killed and resumed, with deterministic kernels."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch
from timing import Sizes


def check_resume(sizes: Sizes, device: str, folder: Path) -> list[dict[str, Any]]:
    """Train, kill after the first checkpoint, resume, and compare all bits with a whole run."""
    from infinito.models.checkpoint_file import read_checkpoint

    steps = sizes.train_steps
    command = [
        sys.executable, "-m", "infinito.run", "data=markov", "tokenizer=char", "data.block_size=64",
        "data.train_tokens=200000", "data.valid_tokens=4096", "data.test_tokens=4096",
        "model.dim=128", "model.layers=2", "attention=l1", "attention.heads=4",
        "model.dropout=0.1", "deterministic=true", f"trainer.accelerator={device}",
        "trainer.epochs=null", f"trainer.max_steps={steps}", f"trainer.validate_every={steps // 4}",
        "trainer.progress_bar=false", "trainer.sample_tokens=0",
        f"data.cache_dir={folder / 'cache'}",
    ]  # fmt: skip
    whole, killed = folder / "whole", folder / "killed"
    _run([*command, f"hydra.run.dir={whole}"])
    last = killed / "checkpoints/last.ckpt"
    process = subprocess.Popen(
        [*command, f"hydra.run.dir={killed}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while process.poll() is None and not last.is_file():
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    finally:
        process.wait()
    at = int(read_checkpoint(last)["global_step"])
    if at < steps:
        _run([*command[:3], f"resume={killed}"])
    one, other = (read_checkpoint(each / "checkpoints/last.ckpt") for each in (whole, killed))
    pairs = [(one["state_dict"][key], other["state_dict"][key]) for key in one["state_dict"]]
    equal = all(torch.equal(*pair) for pair in pairs)
    return [{"steps": steps, "killed_at_step": at, "equal_bits": equal, "right": equal}]


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{command[3:]} ended with {done.returncode}: {done.stderr[-800:]}")
