"""Ten skills: each draws a question whose only right answer is known.

`spell` writes a word letter by letter; `count` counts a letter in a word; `reverse` writes a word
backwards; `sort` puts three letters into alphabetical order; `add` and `subtract` compute with
numbers up to 99; `compare` names the larger of two numbers; `copy` repeats two words; `look_up`
finds a fact that the question states; `refuse` answers a question of two facts where it can, and
says that it does not know where the question asks for a third: one half each, so that always to
refuse is no better than a coin.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

_WORDS = """
apple bread cloud dance eagle flame grape horse island jungle kite lemon mouse night ocean piano
queen river stone tiger uncle voice water yellow zebra anchor basket candle dragon engine forest
garden hammer insect jacket kettle ladder magnet needle orange pencil rabbit silver ticket valley
window bridge castle desert finger guitar helmet iron jewel king lamp moon nest owl pearl quilt rope
snow tree vase wind yard acorn bell coin drum field glass hill ink jam knot leaf milk nose oak path
rain sand tent
"""

WORDS = tuple(_WORDS.split())
"""Words of the questions: common, of three to seven small letters."""

PEOPLE = ("Ann", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana", "Ivo", "Jo", "Kim", "Leo")

PLACES = ("Oslo", "Rome", "Lima", "Cairo", "Paris", "Delhi", "Bern", "Quito")

UNKNOWN = "I do not know."
"""The answer to a question that cannot be answered."""


@dataclass(frozen=True)
class Item:
    """A question with its only right answer."""

    skill: str
    question: str
    answer: str


Draw = Callable[[Random], tuple[str, str]]
"""Returns a question and its answer."""


def _draw_letters(random: Random, shortest: int = 3, longest: int = 5) -> str:
    """Return letters that mostly form no word, so that there are many of them."""
    return "".join(random.choice("abcdefghij") for _ in range(random.randint(shortest, longest)))


def _spell(random: Random) -> tuple[str, str]:
    word = _draw_letters(random)
    return f"Spell {word}.", " ".join(word)


def _count(random: Random) -> tuple[str, str]:
    word = "".join(random.choice("abc") for _ in range(random.randint(3, 6)))
    letter = random.choice("abc")
    return f"How many {letter} in {word}?", str(word.count(letter))


def _reverse(random: Random) -> tuple[str, str]:
    word = _draw_letters(random)
    return f"Reverse {word}.", word[::-1]


def _sort(random: Random) -> tuple[str, str]:
    letters = random.sample("abcdefghijklmnopqrstuvwxyz", 3)
    return f"Sort {' '.join(letters)}.", " ".join(sorted(letters))


def _add(random: Random) -> tuple[str, str]:
    first, second = random.randint(0, 49), random.randint(0, 49)
    return f"What is {first}+{second}?", str(first + second)


def _subtract(random: Random) -> tuple[str, str]:
    first, second = sorted((random.randint(0, 99), random.randint(0, 99)), reverse=True)
    return f"What is {first}-{second}?", str(first - second)


def _compare(random: Random) -> tuple[str, str]:
    first, second = random.sample(range(100), 2)
    return f"Which is larger, {first} or {second}?", str(max(first, second))


def _copy(random: Random) -> tuple[str, str]:
    words = " ".join(random.sample(WORDS, 2))
    return f"Say: {words}", words


def _look_up(random: Random) -> tuple[str, str]:
    return _ask_for(random, random.randrange(2))


def _refuse(random: Random) -> tuple[str, str]:
    known = random.random() < 0.5
    return _ask_for(random, random.randrange(2) if known else None)


def _ask_for(random: Random, person: int | None) -> tuple[str, str]:
    """Return two facts and a question about one of two persons, or about a third for None."""
    *people, other = random.sample(PEOPLE, 3)
    places = random.sample(PLACES, 2)
    facts = " ".join(f"{who} is in {where}." for who, where in zip(people, places, strict=True))
    if person is None:
        return f"{facts} Where is {other}?", UNKNOWN
    return f"{facts} Where is {people[person]}?", places[person]


SKILLS: dict[str, Draw] = {
    "spell": _spell,
    "count": _count,
    "reverse": _reverse,
    "sort": _sort,
    "add": _add,
    "subtract": _subtract,
    "compare": _compare,
    "copy": _copy,
    "look_up": _look_up,
    "refuse": _refuse,
}
"""Every skill by its name, in the order of tables."""
