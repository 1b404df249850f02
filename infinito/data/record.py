"""What a run records of the data that it read."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from infinito.data.datamodule import LanguageDataModule


def data_record(data: LanguageDataModule) -> dict[str, Any]:
    """Hashes and sizes of the splits that training reads."""
    return {
        "source": data.source.description,
        "vocab_size": data.vocab_size,
        **{
            split: {"fingerprint": data.fingerprint(split), **asdict(data.split_meta(split))}
            for split in ("train", "valid")
        },
    }
