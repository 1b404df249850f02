"""How many held-out questions of each skill a model answers exactly, against a control."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from transformers import PreTrainedModel

from infinito.config import SkillsConf
from infinito.data.conversations.rendering.messages import to_messages
from infinito.data.conversations.rendering.tokenizing import ConversationTokenizer
from infinito.data.conversations.skills.generator import draw_items
from infinito.data.conversations.skills.items import Item
from infinito.statistics import Interval, wilson_interval
from infinito.training.conversations.answering import answer_questions

SPARE_TOKENS = 8
"""Tokens that an answer may have beyond the longest right one, so that wrong ones show."""


@dataclass(frozen=True)
class SkillScore:
    """How well a model has learnt a skill."""

    accuracy: Interval
    """Share of exact answers with its Wilson interval."""
    control: float
    """Share that the most frequent training answer gets right."""
    items: int

    @property
    def is_learnt(self) -> bool:
        """Whether the whole interval lies above the control."""
        return self.accuracy.low > self.control

    def __str__(self) -> str:
        accuracy = self.accuracy
        bounds = f"{accuracy.mean:.2f} [{accuracy.low:.2f}, {accuracy.high:.2f}]"
        return f"{bounds}, control {self.control:.2f}"


@dataclass(frozen=True)
class SkillAnswers:
    """The items that a model answered, and its answers."""

    items: Sequence[Item]
    answers: Sequence[str]
    scores: Mapping[str, SkillScore]

    def report(self) -> dict[str, Any]:
        """Return all figures as plain values, by name."""
        scores = self.scores
        return {
            **{f"skills/{name}": each.accuracy.mean for name, each in scores.items()},
            "skills/mean": float(np.mean([each.accuracy.mean for each in scores.values()])),
            "skills": {
                name: {
                    "accuracy": each.accuracy.mean,
                    "low": each.accuracy.low,
                    "high": each.accuracy.high,
                    "control": each.control,
                    "items": each.items,
                }
                for name, each in scores.items()
            },
        }


def measure_skills(
    conf: SkillsConf, model: PreTrainedModel, encode: ConversationTokenizer
) -> SkillAnswers:
    """Return what a model answers to the held-out items of `data=skills`, and its scores."""
    items = draw_items(conf.skills, conf.held_out_items, conf.item_seed, held_out=True)
    training = draw_items(conf.skills, conf.items, conf.item_seed, held_out=False)
    return score_answers(items, ask(model, encode, items), training)


def ask(model: PreTrainedModel, encode: ConversationTokenizer, items: Sequence[Item]) -> list[str]:
    """Return the model's most likely answers to items."""
    longest = max(encode.count_tokens(each.answer) for each in items)
    questions = [to_messages(each.question, "user") for each in items]
    return answer_questions(model, encode, questions, longest + SPARE_TOKENS)


def score_answers(
    items: Sequence[Item], answers: Sequence[str], training: Sequence[Item]
) -> SkillAnswers:
    """Return the scores of answers.

    Args:
        items: The questions.
        answers: What was answered.
        training: Items whose most frequent answer is the control.
    """
    scores = {}
    for skill in dict.fromkeys(each.skill for each in items):
        chosen = [number for number, each in enumerate(items) if each.skill == skill]
        right = np.array(
            [items[number].answer == answers[number] for number in chosen], dtype=float
        )
        usual = Counter(each.answer for each in training if each.skill == skill)
        common = usual.most_common(1)[0][0]
        control = float(np.mean([items[number].answer == common for number in chosen]))
        scores[skill] = SkillScore(wilson_interval(right), control, len(chosen))
    return SkillAnswers(items, answers, scores)


def list_scores(found: SkillAnswers) -> dict[str, str]:
    """Return the scores as lines of a table."""
    return {name: str(score) for name, score in found.scores.items()}
