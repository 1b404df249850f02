"""Inspects a set of preference pairs: the findings of `task=check_data`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from infinito.data.conversations.rendering.messages import to_text
from infinito.data.conversations.rows.faults import count_kinds
from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.pairs.pair_set import PairSet, TextPairs, find_block_size
from infinito.preferences.pairs.text_pair import TextPair
from infinito.preferences.pairs.tokenizing import PairTokenizer

SHOWN_ROWS = 20


def inspect_texts(texts: TextPairs) -> dict[str, Any]:
    """Return counts, rows and lengths in characters of one set of pairs, as plain values."""
    return {
        "source": texts.source,
        "rows": texts.rows,
        "pairs": len(texts.pairs),
        "categories": dict(sorted(Counter(str(each.category) for each in texts.pairs).items())),
        "bad_rows": {
            "by_kind": count_kinds(texts.bad),
            "first": [vars(each) for each in texts.bad[:SHOWN_ROWS]],
        },
        "duplicates": count_rows(find_duplicates(texts.pairs)),
        "flipped": count_rows(find_flipped(texts.pairs)),
        "boundary_merges": None,
        "block_size": None,
        "characters": measure_characters(texts.pairs) if texts.pairs else None,
        "lengths": None,
    }


def inspect_pairs(pairs: PairSet, tokenizer: PairTokenizer) -> dict[str, Any]:
    """Return what `inspect_texts` does, with what only token ids show.

    Args:
        pairs: The set; rows without token ids are among the bad ones.
        tokenizer: What made the token ids.
    """
    merges = [each.row for each in pairs.texts if tokenizer.merges(each)]
    return {
        **inspect_texts(TextPairs(pairs.source, pairs.texts, pairs.bad)),
        "boundary_merges": count_rows(merges),
        "block_size": find_block_size(pairs),
        "lengths": measure_lengths(pairs.pairs, pairs.texts) if pairs.pairs else None,
    }


def count_rows(rows: Sequence[int]) -> dict[str, Any]:
    """Return how many rows there are, and the first of them."""
    return {"count": len(rows), "rows": list(rows[:SHOWN_ROWS])}


def find_duplicates(texts: Sequence[TextPair]) -> list[int]:
    """Return rows that repeat an earlier one: the same prompt, chosen and rejected answer."""
    first: dict[tuple[str, str, str], int] = {}
    return [each.row for each in texts if first.setdefault(_read_texts(each), each.row) != each.row]


def find_flipped(texts: Sequence[TextPair]) -> list[int]:
    """Return rows whose chosen answer another row rejects in favour of their rejected one."""
    seen = {_read_texts(each) for each in texts}
    flipped = []
    for each in texts:
        prompt, chosen, rejected = _read_texts(each)
        if (prompt, rejected, chosen) in seen:
            flipped.append(each.row)
    return flipped


def find_overlap(training: Sequence[TextPair], held_out: Sequence[TextPair]) -> dict[str, Any]:
    """Return held-out rows whose prompt, or whole pair in either order, is trained on."""
    prompts = {_normalize(to_text(each.prompt)) for each in training}
    pairs = {_unordered(each) for each in training}
    same_prompt = [each.row for each in held_out if _normalize(to_text(each.prompt)) in prompts]
    same_pair = [each.row for each in held_out if _unordered(each) in pairs]
    return {"prompts": count_rows(same_prompt), "pairs": count_rows(same_pair)}


def measure_lengths(pairs: Sequence[TokenizedPair], texts: Sequence[TextPair]) -> dict[str, Any]:
    """Return the lengths of prompts and answers, and how often length alone tells the chosen one.

    Tokens count the end-of-text token. Equal lengths are half a win for either side.
    """
    chosen = np.array([len(each.chosen_ids) for each in pairs])
    rejected = np.array([len(each.rejected_ids) for each in pairs])
    prompt = np.array([len(each.prompt_ids) for each in pairs])
    return {
        "prompt_tokens": summarize_counts(prompt),
        "chosen_tokens": summarize_counts(chosen),
        "rejected_tokens": summarize_counts(rejected),
        "longest_sequence_tokens": int((prompt + np.maximum(chosen, rejected)).max()),
        **_count_wins(chosen, rejected),
        "mean_token_ratio": float(np.mean(chosen / rejected)),
        "mean_character_ratio": measure_characters(texts)["mean_ratio"],
    }


def measure_characters(texts: Sequence[TextPair]) -> dict[str, Any]:
    """Return what `measure_lengths` does, of lengths in characters of the rows themselves."""
    parts = np.array([[len(part) for part in _read_texts(each)] for each in texts])
    _, chosen, rejected = parts.T
    return {
        **{
            name: summarize_counts(counts)
            for name, counts in zip(("prompt", "chosen", "rejected"), parts.T, strict=True)
        },
        **_count_wins(chosen, rejected),
        "mean_ratio": float(np.mean(chosen / rejected)),
    }


def summarize_counts(counts: np.ndarray) -> dict[str, float]:
    """Return minimum, median, mean, 95 % quantile and maximum."""
    return {
        "min": float(counts.min()),
        "median": float(np.median(counts)),
        "mean": float(counts.mean()),
        "q95": float(np.quantile(counts, 0.95)),
        "max": float(counts.max()),
    }


def _count_wins(chosen: np.ndarray, rejected: np.ndarray) -> dict[str, float]:
    return {
        "longer_wins": float(np.mean((chosen > rejected) + 0.5 * (chosen == rejected))),
        "shorter_wins": float(np.mean((chosen < rejected) + 0.5 * (chosen == rejected))),
    }


def _read_texts(pair: TextPair) -> tuple[str, str, str]:
    return to_text(pair.prompt), to_text(pair.chosen), to_text(pair.rejected)


def _unordered(pair: TextPair) -> tuple[str, frozenset[str]]:
    prompt, *answers = _read_texts(pair)
    return prompt, frozenset(answers)


def _normalize(text: str) -> str:
    return " ".join(text.casefold().split())
