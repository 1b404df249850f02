"""Every answer is the right one, by another way of finding it."""

from __future__ import annotations

import re
from random import Random

import pytest

from infinito.config import SKILLS as NAMES
from infinito.data.conversations.skills.items import SKILLS, UNKNOWN


def answer(skill: str, question: str) -> str:
    """Return the answer, read off the question."""
    words = re.findall(r"\w+", question)
    numbers = [int(each) for each in words if each.isdigit()]
    match skill:
        case "spell":
            return " ".join(words[1])
        case "count":
            return str(sum(each == words[2] for each in words[4]))
        case "reverse":
            return "".join(reversed(words[1]))
        case "sort":
            return " ".join(sorted(words[1:]))
        case "add":
            return str(numbers[0] + numbers[1])
        case "subtract":
            return str(numbers[0] - numbers[1])
        case "compare":
            return str(max(numbers))
        case "copy":
            return question.removeprefix("Say: ")
    facts = dict(re.findall(r"(\w+) is in (\w+)\.", question))
    return facts.get(words[-1], UNKNOWN)


@pytest.mark.parametrize("skill", SKILLS)
def test_answers_are_right(skill: str) -> None:
    random = Random(0)
    for _ in range(300):
        question, found = SKILLS[skill](random)
        assert found == answer(skill, question), question


def test_numbers_stay_small_and_never_negative() -> None:
    random = Random(1)
    drawn = [int(SKILLS[name](random)[1]) for _ in range(300) for name in ("add", "subtract")]
    assert min(drawn) >= 0
    assert max(drawn) <= 99


def test_refusing_always_is_right_half_of_the_time() -> None:
    random = Random(2)
    refused = [SKILLS["refuse"](random)[1] == UNKNOWN for _ in range(2000)]
    assert 0.45 < sum(refused) / len(refused) < 0.55


def test_the_configuration_names_the_same_skills() -> None:
    assert tuple(SKILLS) == NAMES
