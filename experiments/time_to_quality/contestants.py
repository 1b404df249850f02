"""The trainings that are compared: those of rivals from their own public code, and infinito's.

Each runs in a process of one thread whose clock is replaced by the CPU time of the process, so that
the seconds that a program itself reports are CPU seconds, whatever else the machine does.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator


@dataclass(frozen=True)
class Point:
    """A validation: optimizer steps and CPU seconds of training before it, and its loss."""

    step: int
    cpu_s: float
    loss: float
    """Nats per character, or bits per byte."""


NANOGPT = """
import runpy, sys, time
time.time = time.process_time
sys.argv = ["train.py", *sys.argv[1:]]
runpy.run_path("train.py", run_name="__main__")
"""
NANOGPT_OPTIONS = (
    "config/train_shakespeare_char.py",
    "--device=cpu",
    "--compile=False",
    "--eval_iters=100",
    "--log_interval=1",
    "--block_size=64",
    "--batch_size=12",
    "--n_layer=4",
    "--n_head=4",
    "--n_embd=128",
    "--max_iters=2000",
    "--lr_decay_iters=2000",
    "--dropout=0.0",
)
"""The CPU recipe of nanoGPT's README, but for more batches in each estimate of a loss."""

INFINITO = """
import sys, time
time.perf_counter = time.process_time
from infinito.run import main
sys.exit(main())
"""


def run_nanogpt(code: Path, text: Path) -> list[Point]:
    """Train by a copy of nanoGPT's folder, and return its own validations."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder) / "nanoGPT"
        shutil.copytree(code, place)
        data = place / "data/shakespeare_char"
        shutil.copy(text, data / "input.txt")
        call([sys.executable, str(data / "prepare.py")], place)
        return nanogpt_points(call([sys.executable, "-c", NANOGPT, *NANOGPT_OPTIONS], place))


def nanogpt_points(output: str) -> list[Point]:
    """Read what nanoGPT prints. A step that it evaluated in counts as a median one."""
    times = [
        float(found) / 1e3 for found in re.findall(r"^iter \d+: .*time ([\d.]+)ms", output, re.M)
    ]
    typical = sorted(times)[len(times) // 2]
    points, evaluated = [], set()
    for step, loss in re.findall(r"^step (\d+): .*val loss ([\d.]+)", output, re.M):
        done = int(step)
        seconds = sum(typical if n in evaluated else times[n] for n in range(done))
        points.append(Point(done, seconds, float(loss)))
        evaluated.add(done)
    return points


def run_nanochat(code: Path, steps: int, seed: int, rate: float) -> list[Point]:
    """Train nanochat's model by its optimizer, all its learning rates times `rate`."""
    script = Path(__file__).with_name("nanochat_training.py")
    options = (f"--nanochat={code}", f"--steps={steps}", f"--seed={seed}", f"--rate={rate}")
    output = call([sys.executable, str(script), *options], code)
    return [Point(*each) for each in json.loads(output.splitlines()[-1])]


def run_transformers(text: Path, steps: int, seed: int) -> list[Point]:
    """Train transformers' GPT-2 by its Trainer, at nanoGPT's shape, batches and rates."""
    script = Path(__file__).with_name("transformers_training.py")
    options = (f"--text={text}", f"--steps={steps}", f"--seed={seed}")
    output = call([sys.executable, str(script), *options], script.parent)
    return [Point(*each) for each in json.loads(output.splitlines()[-1])]


def run_infinito(
    overrides: Sequence[str], tokens_per_step: int, every: int, unit: str = "val/loss"
) -> list[Point]:
    """Train by the program, and return its validations.

    Args:
        overrides: the experiment, its seed and length.
        tokens_per_step: of all its batches.
        every: steps between logged throughputs; it divides those between validations.
        unit: the curve that holds the losses.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        fixed = [
            "trainer.threads=1",
            "trainer.progress_bar=false",
            "trainer.sample_tokens=0",
            f"trainer.log_every={every}",
            f"hydra.run.dir={run}",
        ]
        call([sys.executable, "-c", INFINITO, *fixed, *overrides], Path(folder))
        events = EventAccumulator(str(run)).Reload()
        rates = events.Scalars("train/tokens_per_s")
        return [
            Point(
                each.step,
                sum(
                    every * tokens_per_step / rate.value for rate in rates if rate.step <= each.step
                ),
                each.value,
            )
            for each in events.Scalars(unit)
        ]


def call(command: Sequence[str], folder: Path) -> str:
    """Run a program on one thread, and return what it prints.

    Raises:
        SystemExit: it failed; its last lines are the message.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit((done.stdout + done.stderr)[-2000:])
    return done.stdout
