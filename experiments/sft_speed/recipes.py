"""What is measured: sizes of the model, lengths of the conversations."""

from __future__ import annotations

import random
from dataclasses import dataclass

from infinito.data.conversations.conversation import TokenizedConversation


@dataclass(frozen=True)
class Recipe:
    """A training of a Llama on random conversations."""

    vocab: int
    dim: int
    layers: int
    heads: int
    steps: int = 8
    batch_size: int = 8


RECIPES = {
    "vocabulary 8,192": Recipe(8192, 128, 4, 4),
    "vocabulary 50,257": Recipe(50257, 128, 4, 4),
    "vocabulary 8,192, dim 384": Recipe(8192, 384, 6, 6, steps=4),
}


def random_conversations(recipe: Recipe, seed: int = 0) -> list[TokenizedConversation]:
    """Return conversations of one to three turns; medians: 40 tokens asked, 60 answered."""
    draw = random.Random(seed)
    found = []
    for row in range(recipe.steps * recipe.batch_size):
        learned: list[int] = []
        length = 1
        for _ in range(draw.randint(1, 3)):
            length += max(4, min(160, round(draw.lognormvariate(3.7, 0.7))))
            answer = max(4, min(240, round(draw.lognormvariate(4.1, 0.7))))
            learned += range(length, length + answer)
            length += answer
        ids = [draw.randrange(2, recipe.vocab) for _ in range(length)]
        found.append(TokenizedConversation(ids, learned, len(learned), row))
    return found
