"""Trains nanochat's model by its own optimizer on infinito's tokens, and prints its validations.

    python experiments/time_to_quality/nanochat_training.py --nanochat <folder> --steps 1500

Model, optimizer and the shape of the schedules are nanochat's, from its own code; width, depth,
tokens, batches and the validation split are those of infinito's `base_30ep`.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time

import torch
from torch import Tensor

from infinito.data.datamodule import LanguageDataModule
from infinito.data.sources.python_docs import PythonDocs
from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.paths import cache_dir
from infinito.process import keep_freed_memory

DIM, LAYERS, HEADS = 128, 4, 4
VOCAB, BATCH, BLOCK = 2048, 16, 128
EMBEDDING_LR, HEAD_LR, MATRIX_LR, SCALAR_LR = 0.3, 0.008, 0.02, 0.5
"""The defaults of nanochat's scripts/base_train.py, and of the schedules below."""
WARMUP_STEPS, WARMDOWN_SHARE, FINAL_SHARE = 40, 0.65, 0.05
MOMENTUM_STEPS = 400


def main() -> None:
    """Train, and print the validations as JSON: (steps, CPU seconds of training, bits per byte)."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--nanochat", required=True, help="folder of its public code")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=1.0, help="multiplies all learning rates")
    parser.add_argument("--validations", type=int, default=15)
    arguments = parser.parse_args()
    os.environ["NANOCHAT_DTYPE"] = "float32"
    sys.path.insert(0, arguments.nanochat)
    from nanochat.gpt import GPT, GPTConfig

    torch.set_num_threads(1)
    keep_freed_memory()
    cache = cache_dir(None)
    data = LanguageDataModule(
        PythonDocs(cache_dir=cache),
        BpeTokenizer(VOCAB),
        block_size=BLOCK,
        batch_size=BATCH,
        eval_batch_size=32,
        seed=arguments.seed,
        cache_dir=cache,
    )
    torch.manual_seed(arguments.seed)
    model = GPT(
        GPTConfig(
            sequence_len=BLOCK,
            vocab_size=data.vocab_size,
            n_layer=LAYERS,
            n_head=HEADS,
            n_kv_head=HEADS,
            n_embd=DIM,
            window_pattern="L",
        )
    )
    model.init_weights()
    optimizer = model.setup_optimizer(
        embedding_lr=EMBEDDING_LR * arguments.rate,
        unembedding_lr=HEAD_LR * arguments.rate,
        matrix_lr=MATRIX_LR * arguments.rate,
        scalar_lr=SCALAR_LR * arguments.rate,
    )
    steps, points, cpu_s = arguments.steps, [], 0.0
    for done, batch in enumerate(data.train_dataloader(total=steps), 1):
        started_s = time.process_time()
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * rate_factor(done - 1, steps)
            if group["kind"] == "muon":
                group["momentum"] = momentum(done - 1, steps)
        loss_of(model, batch).backward()
        optimizer.step()
        model.zero_grad(set_to_none=True)
        cpu_s += time.process_time() - started_s
        if done * arguments.validations // steps > (done - 1) * arguments.validations // steps:
            points.append((done, round(cpu_s, 1), round(validate(model, data), 4)))
    print(json.dumps(points))


def loss_of(model: torch.nn.Module, batch: Tensor) -> Tensor:
    """Return the mean loss of windows (batch, time + 1), nats per token."""
    loss: Tensor = model(batch[:, :-1].contiguous(), batch[:, 1:].contiguous())
    return loss


@torch.no_grad()
def validate(model: torch.nn.Module, data: LanguageDataModule) -> float:
    """Return the bits per byte of the whole validation split."""
    model.eval()
    nats = tokens = 0.0
    for batch in data.val_dataloader():
        count = batch[:, 1:].numel()
        nats += float(loss_of(model, batch)) * count
        tokens += count
    model.train()
    meta = data.split_meta("valid")
    return nats / tokens / math.log(2) * meta.tokens / meta.utf8_bytes


def rate_factor(step: int, steps: int) -> float:
    """Return what multiplies the rates: linear warm-up, constant, linear warm-down."""
    warmdown = round(WARMDOWN_SHARE * steps)
    if step < WARMUP_STEPS:
        return (step + 1) / WARMUP_STEPS
    left = min(1.0, (steps - step) / warmdown)
    return left + (1 - left) * FINAL_SHARE


def momentum(step: int, steps: int) -> float:
    """Return Muon's momentum: 0.85 to 0.97 in its warm-up, to 0.90 in the warm-down."""
    warmdown = round(WARMDOWN_SHARE * steps)
    if step < MOMENTUM_STEPS:
        return 0.85 + 0.12 * step / MOMENTUM_STEPS
    return 0.97 - 0.07 * max(0.0, 1 - (steps - step) / warmdown)


if __name__ == "__main__":
    main()
