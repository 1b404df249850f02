"""Answers that are written together are those that the model writes one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from infinito.config import GenerationConf
from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.models.trained import Trained
from infinito.preferences.pairs.text_pair import TextPair
from infinito.preferences.pairs.tokenizing import PairTokenizer
from infinito.preferences.report import answers
from infinito.preferences.report.answers import write_answers, write_likeliest_answers
from tests.preferences.pair_models import make

TOKENIZER = BpeTokenizer(257).build([], separates_documents=True)
SETTINGS = GenerationConf(temperature=0, max_new_tokens=12)
TEXTS = [
    TextPair(prompt, "yes", "no", None, row)
    for row, prompt in enumerate(("a", "how far is it", "why", "what is the name of this?"))
]


def trained(name: str) -> Trained:
    return Trained(make(name, vocab_size=257, eos_token_id=256), TOKENIZER, Path())


@pytest.mark.parametrize("batch", [16, 3])
@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2", "distance_dot", "distance_l1"])
def test_together_as_one_by_one(name: str, batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "BATCH", batch)
    policy, encode = trained(name), PairTokenizer(TOKENIZER, window=40)
    alone = write_answers(policy, encode, TEXTS, SETTINGS, seed=0)
    assert write_likeliest_answers(policy, encode, TEXTS, SETTINGS) == alone
    assert len(set(alone)) > 1


def test_an_answer_ends_at_its_end_though_others_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    """The end is a letter that some of the likeliest answers hold and others do not."""
    policy, encode = trained("llama"), PairTokenizer(TOKENIZER, window=40)
    whole = write_likeliest_answers(policy, encode, TEXTS, SETTINGS)
    letters = sorted({letter for answer in whole for letter in answer if letter.isascii()})
    end = next(each for each in letters if 0 < sum(each in answer for answer in whole) < 4)
    monkeypatch.setattr(PairTokenizer, "end_ids", lambda *_: TOKENIZER(end)["input_ids"])
    cut = write_likeliest_answers(policy, encode, TEXTS, SETTINGS)
    assert cut == [answer.split(end)[0] for answer in whole]


def test_a_prompt_that_fills_the_window_is_answered_alone() -> None:
    """GPT-2 here has 48 positions: 45 letters and 12 tokens do not fit, and the text slides."""
    policy, encode = trained("gpt2"), PairTokenizer(TOKENIZER, window=100)
    texts = [*TEXTS, TextPair("x" * 45, "yes", "no", None, 4)]
    alone = write_answers(policy, encode, texts, SETTINGS, seed=0)
    assert write_likeliest_answers(policy, encode, texts, SETTINGS) == alone
