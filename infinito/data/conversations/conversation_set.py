"""The conversations of a file, good and bad, and their split into training and held-out ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from infinito.data.conversations.conversation import TextConversation, TokenizedConversation
from infinito.data.conversations.rendering.messages import to_text
from infinito.data.conversations.rendering.tokenizing import ConversationTokenizer
from infinito.data.conversations.rows.faults import (
    BadRow,
    RowFault,
    refuse_bad_rows,
    unify_block_size,
)
from infinito.data.conversations.rows.gathering import (
    find_longest,
    gather_made,
    gather_rows,
    hold_out_prompts,
)
from infinito.data.conversations.rows.parsing import CHAT_ROWS, parse_conversation

Kind = TypeVar("Kind", TextConversation, TokenizedConversation)


@dataclass(frozen=True)
class ConversationSet(Generic[Kind]):
    """The rows of a file as conversations, of text or of token ids."""

    source: str
    """What was read, for messages."""
    rows: list[Kind]
    bad: list[BadRow]

    @property
    def count(self) -> int:
        """Rows read, good and bad."""
        return len(self.rows) + len(self.bad)


TextConversations = ConversationSet[TextConversation]
TokenizedConversations = ConversationSet[TokenizedConversation]


def read_conversations(
    path: str,
    subset: str = "train",
    limit: int | None = None,
    revision: str | None = None,
    key: str = "data.path",
) -> TextConversations:
    """Return the conversations of a file, dataset or hub id, with its bad rows apart.

    Args:
        path: See `read_rows`.
        subset: See `read_rows`.
        limit: Most rows to read, from the first on.
        revision: See `read_rows`.
        key: See `read_rows`.
    """
    rows, bad = gather_rows(path, CHAT_ROWS, parse_conversation, subset, limit, revision, key)
    return ConversationSet(path, rows, bad)


def tokenize_conversations(
    texts: TextConversations, tokenizer: ConversationTokenizer
) -> TokenizedConversations:
    """Return the conversations as token ids, with those that have none apart."""
    rows, bad = gather_made(texts.rows, tokenizer, texts.bad)
    return ConversationSet(texts.source, rows, bad)


def render_conversations(
    texts: TextConversations, tokenizer: ConversationTokenizer
) -> Iterator[str]:
    """Yield the conversations as the template writes them, but for those that it refuses."""
    for text in texts.rows:
        try:
            yield tokenizer.render(text)[0]
        except RowFault:  # tokenizing them names the fault
            continue


def find_block_size(*sets: TokenizedConversations) -> int | None:
    """Return the `data.block_size` that holds every row of all sets; None if each fits already."""
    return find_longest(*(each.bad for each in sets))


def require_usable(
    found: TokenizedConversations, on_bad_row: str, block_size: int | None = None
) -> TokenizedConversations:
    """Return the same conversations, where bad rows may be dropped or there are none.

    Args:
        found: The set.
        on_bad_row: "error" or "drop".
        block_size: What `find_block_size` returns for this set and those beside it.

    Raises:
        DataError: see `refuse_bad_rows`.
    """
    bad = found.bad if block_size is None else unify_block_size(found.bad, block_size)
    kept = len(found.rows)
    refuse_bad_rows(bad, on_bad_row, found.source, kept, CHAT_ROWS.name, CHAT_ROWS.keys)
    return found


def split_by_prompt(
    texts: TextConversations, held_out_fraction: float
) -> tuple[TextConversations, TextConversations]:
    """Return training and held-out conversations, split by hashes of what comes before an answer.

    The split is the same in every run; conversations that begin alike are on the same side.

    Args:
        texts: All conversations; the bad rows stay with the training ones.
        held_out_fraction: Share of the prompts that is held out.

    Raises:
        DataError: too few prompts for both sides.
    """
    prompts = [to_text(each.prompt) for each in texts.rows]
    held = hold_out_prompts(
        prompts, held_out_fraction, texts.source, CHAT_ROWS.name, digest_size=64
    )
    training = [each for each in texts.rows if to_text(each.prompt) not in held]
    held_out = [each for each in texts.rows if to_text(each.prompt) in held]
    return (
        ConversationSet(f"{texts.source}, training part", training, texts.bad),
        ConversationSet(f"{texts.source}, held-out part", held_out, []),
    )
