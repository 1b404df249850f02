"""The pairs that ship with infinito: 8 to train on and a held-out twin of each.

Written for infinito: two each of helpfulness, accuracy, reasoning and safety. In half of them the
chosen answer is the shorter one, so length alone predicts no preference.
"""

from __future__ import annotations

from pathlib import Path

_FOLDER = Path(__file__).parent

TRAINING = _FOLDER / "train.jsonl"
HELD_OUT = _FOLDER / "held_out.jsonl"
