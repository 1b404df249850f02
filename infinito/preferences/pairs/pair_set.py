"""The pairs of a file, good and bad, and their split into training and held-out pairs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from itertools import islice

from infinito.data.conversations.rendering.messages import to_text
from infinito.data.conversations.rows.faults import (
    BadRow,
    RowFault,
    refuse_bad_rows,
    unify_block_size,
)
from infinito.data.conversations.rows.reading import read_rows
from infinito.errors import DataError
from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.pairs.rows.columns import PAIR_ROWS
from infinito.preferences.pairs.rows.parsing import parse_row
from infinito.preferences.pairs.text_pair import TextPair
from infinito.preferences.pairs.tokenizing import PairTokenizer


@dataclass(frozen=True)
class TextPairs:
    """The rows of a file as pairs of text."""

    source: str
    """What was read, for messages."""
    pairs: list[TextPair]
    bad: list[BadRow]

    @property
    def rows(self) -> int:
        """Rows read, good and bad."""
        return len(self.pairs) + len(self.bad)


@dataclass(frozen=True)
class PairSet:
    """The rows of a file as token ids; `pairs[i]` was made from `texts[i]`."""

    source: str
    pairs: list[TokenizedPair]
    texts: list[TextPair]
    bad: list[BadRow]


def read_pairs(
    path: str,
    subset: str = "train",
    limit: int | None = None,
    revision: str | None = None,
    key: str = "data.path",
) -> TextPairs:
    """Return the pairs of a file, dataset or hub id, with its bad rows apart.

    Args:
        path: See `read_rows`.
        subset: See `read_rows`.
        limit: Most rows to read, from the first on.
        revision: See `read_rows`.
        key: See `read_rows`.
    """
    pairs: list[TextPair] = []
    bad: list[BadRow] = []
    for number, row in enumerate(islice(read_rows(path, PAIR_ROWS, subset, revision, key), limit)):
        try:
            if isinstance(row, RowFault):
                raise row
            pairs.append(parse_row(row, number))
        except RowFault as fault:
            bad.append(BadRow.from_fault(number, fault))
    return TextPairs(path, pairs, bad)


def tokenize_pairs(texts: TextPairs, tokenizer: PairTokenizer) -> PairSet:
    """Return the pairs as token ids, with those that have none apart."""
    pairs: list[TokenizedPair] = []
    kept: list[TextPair] = []
    bad = list(texts.bad)
    for text in texts.pairs:
        try:
            pairs.append(tokenizer(text))
            kept.append(text)
        except RowFault as fault:
            bad.append(BadRow.from_fault(text.row, fault))
    return PairSet(texts.source, pairs, kept, sorted(bad, key=lambda each: each.row))


def find_block_size(*sets: PairSet) -> int | None:
    """Return the `data.block_size` that holds every row of all sets; None if each fits already."""
    return max((row.tokens for each in sets for row in each.bad if row.tokens), default=None)


def require_usable(pairs: PairSet, on_bad_row: str, block_size: int | None = None) -> PairSet:
    """Return the same pairs, where bad rows may be dropped or there are none.

    Args:
        pairs: The set.
        on_bad_row: "error" or "drop".
        block_size: What `find_block_size` returns for this set and those beside it.

    Raises:
        DataError: see `refuse_bad_rows`.
    """
    bad = pairs.bad if block_size is None else unify_block_size(pairs.bad, block_size)
    refuse_bad_rows(bad, on_bad_row, pairs.source, len(pairs.pairs))
    return pairs


def split_by_prompt(texts: TextPairs, held_out_fraction: float) -> tuple[TextPairs, TextPairs]:
    """Return training and held-out pairs, split by hashes of prompts: the same in every run.

    Args:
        texts: All pairs; the bad rows stay with the training pairs.
        held_out_fraction: Share of the prompts that is held out.

    Raises:
        DataError: too few prompts for both sides.
    """
    prompts = sorted({to_text(pair.prompt) for pair in texts.pairs}, key=_hash_prompt)
    count = round(len(prompts) * held_out_fraction)
    if not 0 < count < len(prompts):
        raise DataError(
            f"{texts.source} has {len(prompts)} different prompts, of which "
            f"`data.held_out_fraction`={held_out_fraction:g} is {count}: give held-out pairs by "
            "`data.held_out_path=…`, or another fraction"
        )
    held = set(prompts[:count])
    training = [pair for pair in texts.pairs if to_text(pair.prompt) not in held]
    held_out = [pair for pair in texts.pairs if to_text(pair.prompt) in held]
    return (
        TextPairs(f"{texts.source}, training part", training, texts.bad),
        TextPairs(f"{texts.source}, held-out part", held_out, []),
    )


def _hash_prompt(prompt: str) -> bytes:
    return hashlib.blake2b(prompt.encode(), digest_size=8).digest()
