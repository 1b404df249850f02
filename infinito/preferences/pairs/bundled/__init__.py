"""The pairs that ship with infinito: 8 to train on and a held-out twin of each.

Written for infinito: two each of helpfulness, accuracy, reasoning and safety. In half of them the
chosen answer is the shorter one, so that neither "longer wins" nor "shorter wins" does.
"""

from __future__ import annotations

from pathlib import Path

_PAIRS = Path(__file__).parent

TRAINING = _PAIRS / "train.jsonl"
HELD_OUT = _PAIRS / "held_out.jsonl"
