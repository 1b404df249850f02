"""What is odd about a set of preference pairs: the findings of `task=check_data`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.pairs.pair_set import PairSet
from infinito.preferences.pairs.text_pair import TextPair, count_kinds, to_text
from infinito.preferences.pairs.tokenizing import PairTokenizer

SHOWN_ROWS = 20


def inspect_pairs(pairs: PairSet, tokenizer: PairTokenizer) -> dict[str, Any]:
    """Counts, rows and length statistics of one set of pairs, as plain values.

    Args:
        pairs: The set, bad rows apart.
        tokenizer: What made its token ids.
    """
    merges = [each.row for each in pairs.texts if tokenizer.merges(each)]
    return {
        "source": pairs.source,
        "rows": len(pairs.pairs) + len(pairs.bad),
        "pairs": len(pairs.pairs),
        "categories": dict(sorted(Counter(str(each.category) for each in pairs.pairs).items())),
        "bad_rows": {
            "by_kind": count_kinds(pairs.bad),
            "first": [vars(each) for each in pairs.bad[:SHOWN_ROWS]],
        },
        "duplicates": count_rows(find_duplicates(pairs.texts)),
        "flipped": count_rows(find_flipped(pairs.texts)),
        "boundary_merges": count_rows(merges),
        "lengths": measure_lengths(pairs.pairs, pairs.texts) if pairs.pairs else None,
    }


def count_rows(rows: Sequence[int]) -> dict[str, Any]:
    """How many rows, and the first of them."""
    return {"count": len(rows), "rows": list(rows[:SHOWN_ROWS])}


def find_duplicates(texts: Sequence[TextPair]) -> list[int]:
    """Rows that repeat an earlier one: the same prompt, chosen and rejected answer."""
    first: dict[tuple[str, str, str], int] = {}
    return [each.row for each in texts if first.setdefault(_texts_of(each), each.row) != each.row]


def find_flipped(texts: Sequence[TextPair]) -> list[int]:
    """Rows that prefer what another row with the same prompt rejects in its favour."""
    seen = {_texts_of(each) for each in texts}
    return [
        each.row
        for each in texts
        if (_texts_of(each)[0], _texts_of(each)[2], _texts_of(each)[1]) in seen
    ]


def find_overlap(training: Sequence[TextPair], held_out: Sequence[TextPair]) -> dict[str, Any]:
    """Held-out rows whose prompt, or whole pair in either order, is trained on."""
    prompts = {_normalize(to_text(each.prompt)) for each in training}
    pairs = {(_texts_of(each)[0], frozenset(_texts_of(each)[1:])) for each in training}
    same_prompt = [each.row for each in held_out if _normalize(to_text(each.prompt)) in prompts]
    same_pair = [
        each.row
        for each in held_out
        if (_texts_of(each)[0], frozenset(_texts_of(each)[1:])) in pairs
    ]
    return {"prompts": count_rows(same_prompt), "pairs": count_rows(same_pair)}


def measure_lengths(pairs: Sequence[TokenizedPair], texts: Sequence[TextPair]) -> dict[str, Any]:
    """How long prompts and answers are, and whether length alone tells which is preferred.

    Tokens count the end-of-text token. A tie in length is half a win for either side.
    """
    chosen = np.array([len(each.chosen_ids) for each in pairs])
    rejected = np.array([len(each.rejected_ids) for each in pairs])
    prompt = np.array([len(each.prompt_ids) for each in pairs])
    characters = [(len(to_text(each.chosen)), len(to_text(each.rejected))) for each in texts]
    return {
        "prompt_tokens": summarize_counts(prompt),
        "chosen_tokens": summarize_counts(chosen),
        "rejected_tokens": summarize_counts(rejected),
        "longest_sequence_tokens": int((prompt + np.maximum(chosen, rejected)).max()),
        "longer_wins": float(np.mean((chosen > rejected) + 0.5 * (chosen == rejected))),
        "shorter_wins": float(np.mean((chosen < rejected) + 0.5 * (chosen == rejected))),
        "mean_token_ratio": float(np.mean(chosen / rejected)),
        "mean_character_ratio": float(np.mean([ours / theirs for ours, theirs in characters])),
    }


def summarize_counts(counts: np.ndarray) -> dict[str, float]:
    """Minimum, median, mean, 95 % quantile and maximum."""
    return {
        "min": float(counts.min()),
        "median": float(np.median(counts)),
        "mean": float(counts.mean()),
        "q95": float(np.quantile(counts, 0.95)),
        "max": float(counts.max()),
    }


def _texts_of(pair: TextPair) -> tuple[str, str, str]:
    return to_text(pair.prompt), to_text(pair.chosen), to_text(pair.rejected)


def _normalize(text: str) -> str:
    return " ".join(text.casefold().split())
