"""The whole of `task=dpo`, as a command runs it, with each phase measured."""

from __future__ import annotations

import csv
import json
import shutil
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from phases import Phases

COMMAND = [
    "+experiment=dpo_qwen_05b",
    "data.chat=false",
    "data.batch_size=4",
    "trainer.accumulate=1",
    "trainer.validate_every=6",
    "optimizer.clip_norm=null",
    "dpo.answers=4",
    "trainer.threads=1",
    "trainer.progress_bar=false",
]
"""Three epochs of the eight bundled pairs: six steps, then one validation and one checkpoint."""


def run(model: Path, folder: Path, overrides: list[str]) -> dict[str, Any]:
    """Run a tuning; return phases, the loss of each step, and leave its batches in pairs.json."""
    phases = Phases("imports")
    from lightning import Trainer

    from infinito import run as program
    from infinito.cli.composition import check
    from infinito.paths import conf_dir
    from infinito.preferences import preparation
    from infinito.tasks import dpo
    from infinito.training import trainer
    from infinito.training.callbacks import milestones
    from infinito.training.optimizer.optimized_task import OptimizedTask

    phases.wrap(preparation.Prepared, "__init__", "opening")
    phases.wrap(dpo, "score_reference", "scoring")
    phases.wrap(preparation.Prepared, "score_held_out", "scoring")
    phases.wrap(preparation.Prepared, "answer_prompts", "answers")
    phases.wrap(milestones, "validate_now", "scoring")
    phases.wrap(trainer, "write_checkpoint", "checkpoint")
    phases.wrap(Trainer, "fit", "training")
    phases.wrap(dpo, "write_outputs", "outputs")
    ends_s = [0.0]
    take = OptimizedTask.optimizer_step

    def timed(self: Any, *arguments: Any, **named: Any) -> None:
        ends_s[0] = ends_s[0] or time.process_time()
        take(self, *arguments, **named)
        ends_s.append(time.process_time())

    OptimizedTask.optimizer_step = timed  # type: ignore[method-assign]
    place = [f"runs_dir={folder.parent}", f"data.cache_dir={folder.parent / 'cache'}"]
    for each in (folder, folder.parent / "cache"):
        shutil.rmtree(each, ignore_errors=True)
    with phases.phase("rest"):
        write_pairs = _keep_pairs(dpo, folder.parent / "pairs.json")
        program.execute(
            check([*COMMAND, f"model.path={model}", *place, *overrides], conf_dir()), folder
        )
        write_pairs()
    with (folder / "metrics.csv").open() as file:
        losses = [float(row["train/loss"]) for row in csv.DictReader(file) if row["train/loss"]]
    steps_s = [end - start for start, end in pairwise(ends_s)]
    return {"phases": phases.close(), "losses": losses, "steps_s": steps_s}


def _keep_pairs(dpo: Any, target: Path) -> Any:
    """Return what writes the token ids of the batches that the training took, and held-out ones."""
    build, built = dpo.build_preference_training, []

    def keeping(*arguments: Any, **named: Any) -> Any:
        built.append(build(*arguments, **named))
        return built[0]

    def write() -> None:
        data = built[0].data
        stream = data.train_dataloader()
        order = [int(n) for numbers, _ in _take(stream, data.total_batches) for n in numbers]
        parts = ("prompt_ids", "chosen_ids", "rejected_ids")
        rows = {
            name: [{part: list(getattr(pair, part)) for part in parts} for pair in pairs]
            for name, pairs in (
                ("train", [data.train[number] for number in order]),
                ("held_out", data.valid),
            )
        }
        target.write_text(json.dumps(rows))

    dpo.build_preference_training = keeping
    return write


def _take(stream: Any, count: int) -> list[Any]:
    numbers = stream._numbers()
    return [next(numbers) for _ in range(count)]
