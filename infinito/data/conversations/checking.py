"""Inspects the conversations that a configuration names: the findings of `task=check_data`."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from transformers import PreTrainedTokenizerFast

from infinito.config import RunConf
from infinito.data.conversations.assembly import (
    build_chat_tokenizer,
    build_conversation_tokenizer,
    read_texts,
)
from infinito.data.conversations.conversation import TextConversation, TokenizedConversation
from infinito.data.conversations.conversation_set import (
    TextConversations,
    TokenizedConversations,
    find_block_size,
    tokenize_conversations,
)
from infinito.data.conversations.rendering.messages import to_text
from infinito.data.conversations.rendering.tokenizing import ConversationTokenizer
from infinito.data.conversations.rows.faults import RowFault, count_kinds, unify_block_size
from infinito.data.tokenizers.bpe import SMALLEST_VOCAB, BpeTokenizer
from infinito.errors import DataError
from infinito.models.trained import open_trained

SHOWN_ROWS = 20

NAMES = ("training", "held_out")


def inspect_conversations(conf: RunConf) -> dict[str, Any]:
    """Return the findings of training and held-out conversations, and what the two share.

    A tokenizer that cannot be trained on the conversations costs the findings in tokens and no
    others.

    Raises:
        DataError: a file is missing or unreadable, or too small to be split.
    """
    texts = read_texts(conf)
    tokenizer, fault = _find_tokenizer(conf, texts[0])
    encode = build_conversation_tokenizer(conf, tokenizer)
    if fault is not None:
        encode.window = sys.maxsize  # no row is too long in bytes
    sets = [tokenize_conversations(each, encode) for each in texts]
    block_size = find_block_size(*sets)
    found = [
        _inspect(text, tokens, encode, block_size) for text, tokens in zip(texts, sets, strict=True)
    ]
    if fault is not None:
        found = [each | {"boundary_merges": None, "lengths": None} for each in found]
    prompts, whole = ({key(each) for each in texts[0].rows} for key in (_prompt, _whole))
    notes = [] if block_size is None else [f"`data.block_size={block_size}` holds every row"]
    return {
        **dict(zip(NAMES, found, strict=True)),
        "overlap": {
            "prompts": _count([each.row for each in texts[1].rows if _prompt(each) in prompts]),
            "conversations": _count([each.row for each in texts[1].rows if _whole(each) in whole]),
        },
        "window": conf.data.block_size,
        "tokens": None if fault else len(tokenizer),
        "notes": [*notes, *([f"nothing was counted in tokens: {fault}"] if fault else [])],
    }


def list_findings(found: dict[str, Any]) -> dict[str, Any]:
    """Return the findings of one set as lines of a table."""
    kinds = found["bad_rows"]["by_kind"]
    table = {
        "source": found["source"],
        "rows": found["rows"],
        "usable conversations": found["conversations"],
        "bad rows": ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or 0,
        "duplicates": found["duplicates"]["count"],
    }
    if found["boundary_merges"] is not None:
        table["merges at a boundary"] = found["boundary_merges"]["count"]
    if found["lengths"] is None:
        return table
    for name, counts in found["lengths"].items():
        table[name] = f"{counts['min']:g} to {counts['max']:g}, mean {counts['mean']:.1f}"
    table["learned"] = f"{found['learned_share']:.0%} of tokens"
    return table


def _find_tokenizer(
    conf: RunConf, training: TextConversations
) -> tuple[PreTrainedTokenizerFast, str | None]:
    """Return a tokenizer; one of bytes, with the fault, where none can be trained on the text."""
    if conf.checkpoint is not None:
        return open_trained(conf.checkpoint).tokenizer, None
    try:
        return build_chat_tokenizer(conf, training), None
    except DataError as error:
        if conf.tokenizer.name == "pretrained":
            raise
        of_bytes = BpeTokenizer(SMALLEST_VOCAB).build([], separates_documents=True)
        return of_bytes, str(error)


def _inspect(
    texts: TextConversations,
    tokens: TokenizedConversations,
    encode: ConversationTokenizer,
    block_size: int | None,
) -> dict[str, Any]:
    bad = tokens.bad if block_size is None else unify_block_size(tokens.bad, block_size)
    roles = Counter(message["role"] for each in texts.rows for message in each.messages)
    return {
        "source": texts.source,
        "rows": texts.count,
        "conversations": len(tokens.rows),
        "roles": dict(sorted(roles.items())),
        "bad_rows": {
            "by_kind": count_kinds(bad),
            "first": [vars(each) for each in bad[:SHOWN_ROWS]],
        },
        "duplicates": _count(_find_duplicates(texts.rows)),
        "boundary_merges": _count([each.row for each in texts.rows if _merges(encode, each)]),
        "lengths": _measure(tokens.rows) if tokens.rows else None,
        "learned_share": _learned_share(tokens.rows),
    }


def _measure(rows: Sequence[TokenizedConversation]) -> dict[str, dict[str, float]]:
    lengths = {
        "tokens": [len(each.ids) for each in rows],
        "learned tokens": [len(each.learned) for each in rows],
    }
    return {
        name: {"min": min(each), "mean": float(np.mean(each)), "max": max(each)}
        for name, each in lengths.items()
    }


def _learned_share(rows: Sequence[TokenizedConversation]) -> float | None:
    tokens = sum(len(each.ids) for each in rows)
    return sum(len(each.learned) for each in rows) / tokens if tokens else None


def _find_duplicates(texts: Sequence[TextConversation]) -> list[int]:
    """Return rows that repeat an earlier conversation."""
    first: dict[str, int] = {}
    return [each.row for each in texts if first.setdefault(_whole(each), each.row) != each.row]


def _merges(encode: ConversationTokenizer, text: TextConversation) -> bool:
    try:
        return encode.merges(text)
    except RowFault:  # it is among the bad rows
        return False


def _count(rows: Sequence[int]) -> dict[str, Any]:
    return {"count": len(rows), "rows": list(rows[:SHOWN_ROWS])}


def _prompt(text: TextConversation) -> str:
    return to_text(text.prompt)


def _whole(text: TextConversation) -> str:
    return to_text(text.messages)
