"""Trains a small model of GPT-2's architecture, a base for `base_gpt2_lora` without the hub.

    python experiments/base_gpt2_lora/small_gpt2.py --text <input.txt> --out <folder>

The folder's `model/` is what `model.path=` takes.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from transformers import GPT2Config, GPT2LMHeadModel

from infinito.data.sources.text_files import TextFiles
from infinito.data.tokenizers import BpeTokenizer

VOCAB, WIDTH, LAYERS, HEADS, POSITIONS = 1024, 128, 4, 4, 256


def main() -> None:
    """Draw the weights, then train all of them on the text."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=500)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as start:
        draw(Path(start), arguments.text)
        command = [
            sys.executable, "-m", "infinito.run", "model=pretrained", f"model.path={start}",
            "model.trainable=all", "data=text", f"data.path={arguments.text}",
            f"data.block_size={POSITIONS // 2}", "data.batch_size=16", "data.test_fraction=0",
            "optimizer.lr=2e-3", "optimizer.warmup_steps=20", "trainer.epochs=null",
            f"trainer.max_steps={arguments.steps}", "trainer.validate_every=100",
            "trainer.accelerator=cpu", "trainer.threads=1", "trainer.progress_bar=false",
            f"hydra.run.dir={arguments.out}",
        ]  # fmt: skip
        subprocess.run(command, check=True)


def draw(folder: Path, text: Path) -> None:
    """Write a tokenizer of the text's training part and a model with random weights."""
    source = TextFiles(str(text), valid_fraction=0.1, test_fraction=0.0)
    pieces = [piece for document in source.documents("train") for piece in document]
    tokenizer = BpeTokenizer(VOCAB).build(pieces, separates_documents=False)
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = GPT2Config(
        vocab_size=VOCAB,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        n_positions=POSITIONS,
        bos_token_id=tokenizer.eos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)


if __name__ == "__main__":
    main()
