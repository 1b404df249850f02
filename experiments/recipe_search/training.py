"""Trains a recipe for a number of steps, and measures what a step of it costs."""

from __future__ import annotations

import json
import math
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from recipe import Model, Recipe
from torch import Tensor, nn
from torch.optim import AdamW, Optimizer

from infinito.config import AdamWConf
from infinito.data.datamodule import LanguageDataModule
from infinito.data.sources.python_docs import PythonDocs
from infinito.data.sources.source import TextSource
from infinito.data.sources.text_files import TextFiles
from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.data.tokenizers.char import CharTokenizer
from infinito.data.tokenizers.spec import TokenizerSpec
from infinito.paths import cache_dir
from infinito.training.optimizer.adamw import build_adamw
from infinito.training.optimizer.batched_muon import BatchedMuon
from infinito.training.optimizer.clipping import clip_gradients
from infinito.training.optimizer.muon import MuonAndAdamW
from infinito.training.optimizer.rate_schedule import rate_factor

POINTS = 4
"""Validations of a training, the last at its end."""


def open_data(recipe: Recipe, seed: int, text: Path | None) -> LanguageDataModule:
    """Return Python's documentation by BPE tokens, or the characters of a text file."""
    cache = cache_dir(None)
    source: TextSource = PythonDocs(cache_dir=cache)
    tokenizer: TokenizerSpec = BpeTokenizer(recipe.vocab)
    if text is not None:
        source = TextFiles(str(text), valid_fraction=0.1, test_fraction=0.0)
        tokenizer = CharTokenizer(unknown=False)
    return LanguageDataModule(
        source,
        tokenizer,
        block_size=recipe.block,
        batch_size=recipe.batch,
        eval_batch_size=32,
        seed=seed,
        cache_dir=cache,
    )


def build_optimizer(model: Model, recipe: Recipe) -> Optimizer:
    """Return the optimizer of a recipe, as infinito would build it for this model."""
    hidden = [
        each.weight
        for each in model.modules()
        if isinstance(each, nn.Linear) and each is not model.head
    ]
    taken = {id(each) for each in hidden}
    settings = AdamWConf(lr=recipe.lr, weight_decay=recipe.weight_decay)
    if recipe.optimizer == "adamw":
        return build_adamw(list(model.parameters()), settings)
    rest = [each for each in model.parameters() if id(each) not in taken]
    adamw: AdamW = build_adamw(rest, settings)
    return MuonAndAdamW(adamw, BatchedMuon(hidden, lr=recipe.matrix_lr, weight_decay=0.0))


class Training:
    """A model, its optimizer and its batches."""

    def __init__(self, recipe: Recipe, seed: int, text: Path | None, steps: int) -> None:
        self.recipe, self.steps = recipe, steps
        self.data = open_data(recipe, seed, text)
        torch.manual_seed(seed)
        self.model = Model(recipe, self.data.vocab_size)
        self.parameters = list(self.model.parameters())
        self.optimizer = build_optimizer(self.model, recipe)
        factor = rate_factor(
            recipe.schedule, recipe.warmup_steps, steps, recipe.min_ratio, recipe.decay_share
        )
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, factor)
        self.batches: Iterator[Tensor] = iter(self.data.train_dataloader(total=steps))

    def loss(self, batch: Tensor) -> Tensor:
        mixed = self.recipe.precision != "float32"
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            return self.model(batch[:, :-1], batch[:, 1:])

    def step(self) -> None:
        self.optimizer.zero_grad()
        self.loss(next(self.batches)).backward()
        clip_gradients(self.parameters, 1.0)
        self.optimizer.step()
        self.schedule.step()

    @torch.no_grad()
    def validate(self) -> float:
        """Return the bits per byte of the whole validation split."""
        self.model.eval()
        nats = tokens = 0.0
        for batch in self.data.val_dataloader():
            count = batch[:, 1:].numel()
            nats += float(self.loss(batch)) * count
            tokens += count
        self.model.train()
        meta = self.data.split_meta("valid")
        return nats / tokens / math.log(2) * meta.tokens / meta.utf8_bytes


def train(recipe: Recipe, steps: int, seed: int, text: Path | None) -> dict[str, object]:
    """Train, and return bits per byte at the end and on the way, with the CPU seconds of it."""
    training = Training(recipe, seed, text, steps)
    curve, cpu_s = [], 0.0
    for done in range(1, steps + 1):
        started_s = time.thread_time()
        training.step()
        cpu_s += time.thread_time() - started_s
        if done * POINTS // steps > (done - 1) * POINTS // steps:
            curve.append((done, round(cpu_s, 1), round(training.validate(), 4)))
    return {
        "bits_per_byte": curve[-1][2],
        "cpu_s": curve[-1][1],
        "parameters": sum(each.numel() for each in training.parameters),
        "curve": json.dumps(curve),
    }


def cost_ratio(recipe: Recipe, base: Recipe, text: Path | None, rounds: int = 12) -> float:
    """Return the CPU time of a step over one of the base, taken in turns in this process."""
    both = [Training(each, 0, text, rounds) for each in (recipe, base)]
    taken: list[list[float]] = [[], []]
    for _ in range(rounds):
        for training, times in zip(both, taken, strict=True):
            started_s = time.thread_time()
            training.step()
            times.append(time.thread_time() - started_s)
    ours, theirs = (statistics.median(times[2:]) for times in taken)
    return ours / theirs
