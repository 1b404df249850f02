"""Training throughput of infinito against a bare PyTorch loop over the same model and batches.

    python experiments/throughput/measure.py [--text <tiny Shakespeare>] [--threads 1]

Both run in this process, in turn, a fresh trainer each time; the ratio is that of medians. Our
side is everything a run has: Lightning, its callbacks, logging to TensorBoard, the progress bar
(drawn to a terminal that goes nowhere), and the data path. Validation and saving are left out on
both sides.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from lightning import Callback
from rich.console import Console

from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.models.assembly import build_language_model
from infinito.objectives.language import cross_entropy
from infinito.paths import conf_dir
from infinito.run import job  # noqa: F401  (registers what the configuration needs)
from infinito.run_folder.console import logged_to
from infinito.training.assembly import build_language_training, build_saving_trainer, fit
from infinito.training.callbacks.interruption import Interruption
from infinito.training.length.planning import Length

WARM_UP = 20
RECIPES = {
    "tiny: dim 32, 2 layers, 8 × 16": [
        "model.dim=32", "model.layers=2", "data.block_size=16", "data.batch_size=8",
    ],
    "shakespeare_char: dim 128, 4 layers, 12 × 64": [],
    "dim 256, 4 layers, 8 × 256": [
        "model.dim=256", "data.block_size=256", "data.batch_size=8",
    ],
}  # fmt: skip
STEPS = {"tiny": 400, "shakespeare_char": 60, "dim 256": 12}


class Clock(Callback):
    """Times the steps after the warm-up."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.started_s = self.step_s = 0.0

    def on_train_batch_start(
        self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx == WARM_UP:
            self.started_s = time.perf_counter()

    def on_train_batch_end(
        self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if batch_idx + 1 == WARM_UP + self.steps:
            self.step_s = (time.perf_counter() - self.started_s) / self.steps


def bare(conf: RunConf, steps: int) -> float:
    """Return the seconds a step of the loop that one would write by hand."""
    data = build_data_module(conf)
    model = build_language_model(conf, data.vocab_size, None).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    batches = iter(data.train_dataloader())
    for step in range(WARM_UP + steps):
        if step == WARM_UP:
            started_s = time.perf_counter()
        batch = next(batches)
        logits = model(input_ids=batch[:, :-1], use_cache=False).logits
        loss = cross_entropy(logits, batch[:, 1:])
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0, foreach=True)
        optimizer.step()
    return (time.perf_counter() - started_s) / steps


def infinito(conf: RunConf, steps: int, folder: Path) -> float:
    """Return the seconds a step of a run."""
    training = build_language_training(conf, build_data_module(conf))
    batches = WARM_UP + steps + 1
    training = replace(training, length=Length(10**6, batches, batches, 10**6))
    with (folder / "screen").open("w") as screen:
        console = Console(file=screen, force_terminal=True, width=100)
        clock = Clock(steps)
        saving = build_saving_trainer(conf, folder, training, console, Interruption())
        saving.trainer.callbacks.insert(0, clock)  # type: ignore[attr-defined]
        saving.trainer.fit_loop.epoch_loop.max_steps = WARM_UP + steps
        fit(training, saving.trainer)
    return clock.step_s


def main() -> None:
    """Measure all recipes and write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", help="a text file; without it, the documentation of Python")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results.json")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    results = {}
    for name, overrides in RECIPES.items():
        steps = next(count for key, count in STEPS.items() if name.startswith(key))
        text = (
            [f"data.path={arguments.text}"]
            if arguments.text
            else ["data=python_docs", "tokenizer.unknown=true"]
        )
        run = check(["+experiment=shakespeare_char", *text, *overrides], conf_dir())
        times: dict[str, list[float]] = {"bare": [], "infinito": []}
        for _ in range(arguments.repeats):
            times["bare"].append(bare(run, steps))
            with tempfile.TemporaryDirectory() as folder, logged_to(Path(folder) / "log"):
                times["infinito"].append(infinito(run, steps, Path(folder)))
        ms = {key: 1e3 * statistics.median(values) for key, values in times.items()}
        tokens = run.data.batch_size * run.data.block_size
        results[name] = {
            "bare_ms_per_step": ms["bare"],
            "infinito_ms_per_step": ms["infinito"],
            "infinito_tokens_per_s": 1e3 * tokens / ms["infinito"],
            "throughput_ratio": ms["bare"] / ms["infinito"],
        }
        print(name, json.dumps({k: round(v, 3) for k, v in results[name].items()}), flush=True)
    machine = {"threads": arguments.threads, "cpu": platform.processor(), "cpus": os.cpu_count()}
    report = {"machine": machine, "torch": torch.__version__, "results": results}
    arguments.out.write_text(json.dumps(report, indent=2) + "\n")


if __name__ == "__main__":
    main()
