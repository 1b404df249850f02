"""The columns of a preference file that make a pair, and those that no pair can have."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from infinito.data.conversations.rows.columns import UNSUPPORTED
from infinito.data.conversations.rows.faults import RowFault
from infinito.data.conversations.rows.kinds import RowKind

ANSWERS = ("chosen", "rejected")

CONVERSATIONS = ("conversations", "messages")
"""Where ShareGPT's and OpenAI's shapes keep the turns before the answers."""

ALPACA = ("instruction", "input", "history")
"""What stands for a prompt in the shape of Alpaca, which LLaMA-Factory reads."""

COLUMNS = frozenset(
    {
        *("prompt", *ANSWERS, "category", "weight", "system", "tools"),
        *(*CONVERSATIONS, *ALPACA, *UNSUPPORTED),
    }
)
"""All that is read of a row."""


def lacks_columns(names: Iterable[Any]) -> RowFault | None:
    """Return the fault of a row that lacks an answer, with the names that it has."""
    known = list(map(str, names))
    missing = [f"`{name}`" for name in ANSWERS if name not in known]
    if not missing:
        return None
    return RowFault(
        "missing field",
        f"lacks {' and '.join(missing)} (it has {', '.join(known) or 'nothing'})",
        "Expected prompt, chosen and rejected",
    )


PAIR_ROWS = RowKind(
    "pair",
    COLUMNS,
    lacks_columns,
    "prompt, chosen and rejected",
    "trl-lib/ultrafeedback_binarized",
)
"""Rows that are preference pairs."""
