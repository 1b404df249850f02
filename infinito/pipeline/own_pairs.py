"""Preference pairs of what a model itself answers: right answers against wrong ones."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from transformers import PreTrainedModel

from infinito.data.conversations.rendering.messages import to_messages
from infinito.data.conversations.rendering.tokenizing import ConversationTokenizer
from infinito.data.conversations.skills.items import Item
from infinito.storage import written_whole
from infinito.training.conversations.answering import sample_answers

SAMPLES = 6
"""Answers drawn to each question."""


def make_pairs(
    model: PreTrainedModel,
    encode: ConversationTokenizer,
    items: Sequence[Item],
    max_new_tokens: int,
    seed: int,
) -> list[dict[str, str]]:
    """Return a row of prompt, chosen and rejected for each item answered both right and wrong.

    The chosen answer is the right one, where the model wrote it in one of `SAMPLES` draws; the
    rejected one is the wrong answer that it wrote most often.

    Args:
        model: What answers.
        encode: Turns questions into token ids.
        items: Questions with their right answers.
        max_new_tokens: Longest answer.
        seed: Of the draws.
    """
    questions = [to_messages(each.question, "user") for each in items]
    drawn = sample_answers(model, encode, questions, max_new_tokens, SAMPLES, seed)
    rows = []
    for item, answers in zip(items, drawn, strict=True):
        wrong = Counter(each for each in answers if each and each != item.answer)
        if item.answer in answers and wrong:
            rejected = min(wrong, key=lambda each: (-wrong[each], each))
            row = {"prompt": item.question, "chosen": item.answer, "rejected": rejected}
            rows.append({**row, "category": item.skill})
    return rows


def write_pairs(path: Path, rows: Sequence[dict[str, str]]) -> None:
    """Write rows as JSON lines, whole or not at all."""
    with written_whole(path) as file:
        file.write("".join(f"{json.dumps(row)}\n" for row in rows).encode())
