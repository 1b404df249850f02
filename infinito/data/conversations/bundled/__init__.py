"""The conversations that ship with infinito: 52 to train on and 10 held out.

Written for infinito: questions about language models with short answers, some of several turns,
some with instructions. No held-out conversation is trained on.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent

TRAINING = _FOLDER / "train.jsonl"
HELD_OUT = _FOLDER / "held_out.jsonl"
