"""The schema of the `tokenizer` group."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.config.limits import limited

LARGEST_VOCAB = 10_000_000
"""The library that trains tokenizers reserves memory for as many, and aborts where it cannot."""


@dataclass
class TokenizerConf:
    """How text becomes token ids (`infinito.data.tokenizers`)."""

    name: str = limited("bpe", choices=("char", "bpe", "word", "pretrained"))
    vocab_size: int | None = limited(None, at_least=2, at_most=LARGEST_VOCAB)
    """Tokens of a bpe or word vocabulary; null for every word of the training split."""
    unknown: bool = True
    """Give `char` an `<unk>` for characters that the training split lacks."""
    path: str | None = None
    """Hugging Face folder or id of a pretrained tokenizer."""
    revision: str | None = None
    """Branch, tag or commit of a hub id; null for its main branch. Runs record the commit."""
