"""The pairs of a file, good and bad, and their split into training and held-out pairs."""

from __future__ import annotations

from dataclasses import dataclass

from infinito.data.conversations.rendering.messages import to_text
from infinito.data.conversations.rows.faults import (
    BadRow,
    refuse_bad_rows,
    unify_block_size,
)
from infinito.data.conversations.rows.gathering import (
    find_longest,
    gather_made,
    gather_rows,
    hold_out_prompts,
)
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
    pairs, bad = gather_rows(path, PAIR_ROWS, parse_row, subset, limit, revision, key)
    return TextPairs(path, pairs, bad)


def tokenize_pairs(texts: TextPairs, tokenizer: PairTokenizer) -> PairSet:
    """Return the pairs as token ids, with those that have none apart."""
    found, bad = gather_made(texts.pairs, lambda text: (tokenizer(text), text), texts.bad)
    pairs, kept = [pair for pair, _ in found], [text for _, text in found]
    return PairSet(texts.source, pairs, kept, bad)


def find_block_size(*sets: PairSet) -> int | None:
    """Return the `data.block_size` that holds every row of all sets; None if each fits already."""
    return find_longest(*(each.bad for each in sets))


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
    prompts = [to_text(pair.prompt) for pair in texts.pairs]
    held = hold_out_prompts(prompts, held_out_fraction, texts.source, PAIR_ROWS.name, digest_size=8)
    training = [pair for pair in texts.pairs if to_text(pair.prompt) not in held]
    held_out = [pair for pair in texts.pairs if to_text(pair.prompt) in held]
    return (
        TextPairs(f"{texts.source}, training part", training, texts.bad),
        TextPairs(f"{texts.source}, held-out part", held_out, []),
    )
