"""Draws items of the skills, training and held-out ones apart by construction.

A hash of the question alone says on which side it lies, so that no seed and no number of items can
put a held-out question among the training ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from random import Random

from infinito.data.conversations.conversation import TextConversation
from infinito.data.conversations.conversation_set import ConversationSet, TextConversations
from infinito.data.conversations.rendering.messages import to_messages
from infinito.data.conversations.skills.items import SKILLS, Item
from infinito.errors import DataError
from infinito.seeding import child_seed

HELD_OUT_SHARE = 8
"""One question in so many is held out."""

PATIENCE = 1000
"""Draws in a row that may repeat earlier questions before a skill counts as exhausted."""


def is_held_out(question: str) -> bool:
    """Return whether a question is held out of training, by its SHA-256."""
    return hashlib.sha256(question.encode()).digest()[0] % HELD_OUT_SHARE == 0


def draw_items(skills: Sequence[str], count: int, seed: int, *, held_out: bool) -> list[Item]:
    """Return different items of each skill, in an order that mixes the skills.

    Args:
        skills: Names in `SKILLS`.
        count: Items of each.
        seed: The same seed gives the same items; a larger count adds items to those of a smaller.
        held_out: Draw those that no training has.

    Raises:
        DataError: a skill has not so many questions.
    """
    side = "held-out items" if held_out else "training items"
    drawn = [_draw(name, count, Random(child_seed(seed, side, name)), held_out) for name in skills]
    return [each[number] for number in range(count) for each in drawn]


def _draw(skill: str, count: int, random: Random, held_out: bool) -> list[Item]:
    found: dict[str, Item] = {}
    repeated = 0
    while len(found) < count:
        question, answer = SKILLS[skill](random)
        if is_held_out(question) != held_out:
            continue
        repeated = repeated + 1 if question in found else 0
        found.setdefault(question, Item(skill, question, answer))
        if repeated > PATIENCE:
            key = "data.held_out_items" if held_out else "data.items"
            raise DataError(
                f"`{key}`={count}: the skill {skill} has about {len(found)} such questions. "
                f"Use `{key}={len(found) // 2}`, or leave it out of `data.skills`"
            )
    return list(found.values())


def write_conversations(items: Sequence[Item], source: str) -> TextConversations:
    """Return items as conversations of a question and its answer."""
    rows = [
        TextConversation(
            (*to_messages(each.question, "user"), *to_messages(each.answer, "assistant")), number
        )
        for number, each in enumerate(items)
    ]
    return ConversationSet(source, rows, [])
