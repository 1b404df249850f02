"""Peak memory of a training, of its saves and of its resume, by the kernel's own count.

    python experiments/checkpoint_cost/training.py --text <a text> --folder <an empty folder>

A training of six steps validates and saves after each second one, ends without warning after the
second save, and is resumed. Peaks are VmHWM, set back before a phase begins; pages of a mapped file
count in them while they are used.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from measure import memory_mib

JOB = "COST_JOB"
"""Set in the training, which this file starts as well: the file for its figures."""


def arguments(given: argparse.Namespace) -> list[str]:
    """Return the command of the training."""
    model = [
        "tokenizer=char", f"model.dim={given.dim}", f"model.layers={given.layers}",
        "attention=dot", "attention.heads=8",
    ] if given.model is None else [
        "model=pretrained", f"model.path={given.model}", "model.trainable=all",
    ]  # fmt: skip
    return [
        *model, "data=text", f"data.path={given.text}", "data.block_size=64",
        "data.batch_size=1", "trainer.accelerator=cpu", "trainer.threads=1",
        "trainer.epochs=null", "trainer.max_steps=6", "trainer.validate_every=2",
        "trainer.validation_batches=1",
        "trainer.progress_bar=false", "trainer.sample_tokens=4",
        f"data.cache_dir={given.folder / 'cache'}", f"hydra.run.dir={given.folder / 'run'}",
    ]  # fmt: skip


def reset_peak() -> None:
    """Set VmHWM back to what is resident now."""
    Path("/proc/self/clear_refs").write_text("5")


def train(figures: Path) -> None:
    """Train as a run of infinito does, and write what each phase held at its peak."""
    from infinito.models import assembly, checkpoint_file
    from infinito.models.pretrained import base_weights, opening
    from infinito.run import main as run
    from infinito.tasks import train as task
    from infinito.training.callbacks.milestones import Milestones

    save = Milestones._save
    state = {"step": 0}

    def note(phase: str, *more: float) -> None:
        with figures.open("a") as file:
            print(phase, f"{memory_mib('VmHWM'):.0f}", *(f"{each:.2f}" for each in more), file=file)

    def on_start(*_: Any) -> None:
        if state["step"] == 0:
            note("start")
        if state["step"] == 1:  # the optimizer's state is there now
            reset_peak()
        state["step"] += 1

    def saving(self: Milestones, trainer: Any, name: str) -> None:
        note(f"training_{state['step']}")
        reset_peak()
        began_s, cpu_s = time.perf_counter(), time.process_time()
        save(self, trainer, name)
        note(f"save_{name}", time.perf_counter() - began_s, time.process_time() - cpu_s)
        if state["step"] == 4 and figures.stem == "begun":
            os._exit(0)
        reset_peak()

    def time_calls(owner: Any, name: str) -> None:
        """Note the CPU seconds of each call of a function, and the peak while it runs."""
        inner = getattr(owner, name)

        def timed(*arguments: Any, **named: Any) -> Any:
            began_s, cpu_s = time.perf_counter(), time.process_time()
            found = inner(*arguments, **named)
            note(f"  {name}", time.perf_counter() - began_s, time.process_time() - cpu_s)
            return found

        setattr(owner, name, timed)

    for owner, name in (
        (assembly, "build_language_model"), (opening, "open_weights"), (opening, "check_finite"),
        (base_weights, "hash_of_weights"), (checkpoint_file, "_verify"),
        (task, "build_language_training"), (task, "open_trained"), (task, "export"),
        (task, "summarize"),
    ):  # fmt: skip
        time_calls(owner, name)
    Milestones.on_train_batch_start = on_start  # type: ignore[method-assign, assignment]
    Milestones._save = saving  # type: ignore[method-assign]
    run()
    note("end")


def main() -> None:
    """Measure, or be the training."""
    if JOB in os.environ:
        train(Path(os.environ[JOB]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument(
        "--model", type=Path, help="a Hugging Face folder in place of dim and layers"
    )
    parser.add_argument("--dim", type=int, default=896)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--folder", type=Path, required=True)
    given = parser.parse_args()
    resume = [f"resume={given.folder / 'run'}"]
    for name, words in (("begun", arguments(given)), ("resumed", resume)):
        figures = given.folder / f"{name}.txt"
        subprocess.run(
            [sys.executable, os.path.abspath(__file__), *words],
            env={**os.environ, JOB: str(figures), "OMP_NUM_THREADS": "1"},
            check=True,
        )
        print(name, figures.read_text(), sep="\n")


if __name__ == "__main__":
    main()
