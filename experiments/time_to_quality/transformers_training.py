"""Trains transformers' GPT-2 by its Trainer on the characters of a text; prints its validations.

    python experiments/time_to_quality/transformers_training.py --text <input.txt> --steps 2000

Shape, batches, rates and the split are those of nanoGPT's CPU recipe; all else is the Trainer's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
)

BLOCK, BATCH, VALIDATION_BATCH = 64, 12, 128


class Windows(Dataset[dict[str, Tensor]]):
    """Every window of a text, from any character on, as nanoGPT draws them."""

    def __init__(self, ids: Tensor) -> None:
        self.ids = ids

    def __len__(self) -> int:
        return len(self.ids) - BLOCK

    def __getitem__(self, start: int) -> dict[str, Tensor]:
        window = self.ids[start : start + BLOCK + 1]
        return {"input_ids": window, "labels": window}


class Validations(TrainerCallback):
    """Measure the loss of the whole validation text now and then, outside the clock."""

    def __init__(self, ids: Tensor, every: int) -> None:
        self.ids = ids
        self.every = every
        self.points: list[tuple[int, float, float]] = []
        self.cpu_s, self.started_s = 0.0, 0.0

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Start the clock."""
        self.started_s = time.process_time()

    def on_step_end(self, args: Any, state: Any, control: Any, **given: Any) -> None:
        """Stop the clock for a validation."""
        if state.global_step % self.every == 0:
            self.cpu_s += time.process_time() - self.started_s
            loss = validate(given["model"], self.ids)
            self.points.append((state.global_step, round(self.cpu_s, 1), round(loss, 4)))
            self.started_s = time.process_time()


@torch.no_grad()
def validate(model: GPT2LMHeadModel, ids: Tensor) -> float:
    """Return the loss of windows side by side, nats per character."""
    count = (len(ids) - 1) // BLOCK
    starts = torch.arange(count)[:, None] * BLOCK + torch.arange(BLOCK + 1)
    model.eval()
    total = 0.0
    for rows in starts.split(VALIDATION_BATCH):
        window = ids[rows]
        logits = model(window[:, :-1]).logits
        losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), window[:, 1:].flatten())
        total += float(losses) * len(rows)
    model.train()
    return total / count


def main() -> None:
    """Train, and print the validations as JSON: (steps, CPU seconds of training, nats)."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--validations", type=int, default=8)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    text = arguments.text.read_text(encoding="utf-8")
    places = {character: number for number, character in enumerate(sorted(set(text)))}
    ids = torch.tensor([places[character] for character in text])
    train, valid = ids[: int(len(ids) * 0.9)], ids[int(len(ids) * 0.9) :]
    config = GPT2Config(
        vocab_size=len(places),
        n_positions=BLOCK + 1,
        n_embd=128,
        n_layer=4,
        n_head=4,
        resid_pdrop=0.0,
        embd_pdrop=0.0,
        attn_pdrop=0.0,
        bos_token_id=None,
        eos_token_id=None,
    )
    torch.manual_seed(arguments.seed)
    validations = Validations(valid, arguments.steps // arguments.validations)
    with tempfile.TemporaryDirectory() as folder:
        options = TrainingArguments(
            folder,
            per_device_train_batch_size=BATCH,
            max_steps=arguments.steps,
            learning_rate=1e-3,
            adam_beta2=0.99,
            weight_decay=0.1,
            warmup_steps=100,
            lr_scheduler_type="cosine_with_min_lr",
            lr_scheduler_kwargs={"min_lr": 1e-4},
            seed=arguments.seed,
            use_cpu=True,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        )
        trainer = Trainer(
            GPT2LMHeadModel(config),
            options,
            train_dataset=Windows(train),
            callbacks=[validations],
        )
        trainer.train()
    print(json.dumps(validations.points))


if __name__ == "__main__":
    main()
