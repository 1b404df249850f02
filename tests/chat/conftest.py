"""Models that can talk: random weights, and a tokenizer of characters, which loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from infinito.chat.conversation import Conversation
from infinito.chat.prompts import Prompts
from infinito.config import ChatConf, GenerationConf, MemoryConf
from infinito.data.tokenizers.char import CharTokenizer
from infinito.models.memory.model import with_memory
from infinito.models.trained import Trained
from tests.preferences.pair_models import make

LETTERS = "\nabcdefghijklmnopqrstuvwxyz HAS:/é"


@pytest.fixture(scope="session")
def characters() -> PreTrainedTokenizerFast:
    """A token for each of `LETTERS`, which are all that `plain` needs."""
    return CharTokenizer().build([LETTERS], separates_documents=True)


@pytest.fixture(scope="session")
def talker(characters: PreTrainedTokenizerFast) -> Callable[..., Trained]:
    """Makes a model; `memory_<name>` has a memory around it."""

    def build(name: str = "distance_l1", **changes: Any) -> Trained:
        inner = name.removeprefix("memory_")
        model = make(inner, vocab_size=len(characters), **changes)
        if inner != name:
            model = with_memory(model, MemoryConf(name="integration", segment=8)).eval()
        return Trained(model, characters, Path(name))

    return build


@pytest.fixture(scope="session")
def begin(talker: Callable[..., Trained]) -> Callable[..., Conversation]:
    """Makes a greedy conversation; `changes` go to the model's configuration."""

    def talk(
        name: str = "distance_l1",
        chat: ChatConf | None = None,
        settings: GenerationConf | None = None,
        template: str = "plain",
        **changes: Any,
    ) -> Conversation:
        trained = talker(name, **changes)
        settings = settings or GenerationConf(temperature=0, max_new_tokens=8)
        prompts = Prompts(trained, template)
        return Conversation(trained, prompts, settings, chat or ChatConf(), seed=0)

    return talk
