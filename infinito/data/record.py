"""What a run records of the text that it read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from infinito.data.conversations.datamodule import (
    ConversationDataModule,
    conversation_inputs,
    fingerprint,
)
from infinito.data.datamodule import LanguageDataModule
from infinito.data.sources.source import SPLITS, Split
from infinito.errors import DataError
from infinito.run_folder.pins import Input

MOST_FILES = 500
"""Files that a record names one by one; each checkpoint carries it."""


def data_record(data: LanguageDataModule | ConversationDataModule) -> dict[str, Any]:
    """Return hashes and sizes of what training reads."""
    if isinstance(data, ConversationDataModule):
        return {
            name: {"source": each.source, "count": len(each.rows), "fingerprint": fingerprint(each)}
            for name, each in (("training", data.train), ("held_out", data.valid))
        }
    return {
        "source": data.source.description,
        "vocab_size": data.vocab_size,
        **{
            split: {"fingerprint": data.fingerprint(split), **asdict(data.split_meta(split))}
            for split in ("train", "valid")
        },
    }


def training_inputs(data: LanguageDataModule | ConversationDataModule) -> Iterator[Input]:
    """Yield all that a training reads of its data, as a run records it."""
    if isinstance(data, ConversationDataModule):
        yield from conversation_inputs(data)
    else:
        yield from text_inputs(data)
        yield from token_inputs(data)


def text_inputs(data: LanguageDataModule) -> Iterator[Input]:
    """Yield the texts of the splits."""
    for split in SPLITS:
        try:
            yield text_input(data, split)
        except DataError:  # a source may lack a test split
            continue


def token_inputs(data: LanguageDataModule) -> Iterator[Input]:
    """Yield the token ids of the splits that training reads."""
    for split in ("train", "valid"):
        sha256 = data.split_meta(split).sha256
        yield Input(f"token ids of the {split} split", data.source.description, sha256)


def text_input(data: LanguageDataModule, split: Split) -> Input:
    """Return the text of a split, as a run records it."""
    files = data.source.file_hashes(split)
    named = files if len(files) <= MOST_FILES else {}
    return Input(f"{split} text", data.source.description, data.fingerprint(split), named)
