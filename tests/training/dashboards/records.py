"""Reads the files that wandb writes without a network."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

BLOCK, HEADER = 32768, 7
"""Bytes of a block of wandb's log, which is LevelDB's, and of what stands before each piece."""


def read_records(path: Path) -> list[Any]:
    """Return what wandb wrote into a file for later sending."""
    from wandb.proto.wandb_internal_pb2 import Record

    content, at, whole, records = path.read_bytes(), HEADER, b"", []
    while at + HEADER <= len(content):
        if BLOCK - at % BLOCK < HEADER:  # the end of a block is filled up
            at += BLOCK - at % BLOCK
            continue
        _, length, kind = struct.unpack_from("<IHB", content, at)
        whole += content[at + HEADER : at + HEADER + length]
        at += HEADER + length
        if kind in {1, 4}:  # a whole record, or the last piece of one
            records.append(Record.FromString(whole))
            whole = b""
    return records
