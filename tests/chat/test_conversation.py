"""A conversation: answers as without a cache, what a turn costs, and what the window holds."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing

import pytest
import torch

from infinito.chat.conversation import Conversation
from infinito.config import ChatConf, GenerationConf
from infinito.errors import DataError, NonFiniteError
from infinito.models.generation import continue_tokens, sampling_settings

Begin = Callable[..., Conversation]
TEXTS = ("has he", "a sheep", "it has", "aha")


def say(talk: Conversation, text: str) -> str:
    return "".join(talk.write(talk.begin(text))).strip()


def forbid(talk: Conversation, tokens: list[int]) -> None:
    """Let the model never draw these tokens."""

    def hide(_: object, __: object, logits: torch.Tensor) -> None:
        logits[..., tokens] = -torch.inf

    talk.trained.model.get_output_embeddings().register_forward_hook(hide)


def answer_alone(talk: Conversation, text: str) -> list[int]:
    """The greedy answer of `generate` to the whole conversation, without any cache between."""
    trained, turn = talk.trained, talk.begin(text)
    options = sampling_settings(talk.settings, trained) | {"max_new_tokens": turn.limit}
    whole = continue_tokens(trained.model, torch.tensor([turn.ids]), **options)
    return whole[0, len(turn.ids) :].tolist()


@pytest.mark.parametrize("name", ["distance_l1", "gpt2", "memory_distance_dot", "mamba"])
def test_answers_are_those_of_the_whole_conversation_read_anew(begin: Begin, name: str) -> None:
    changes = {"n_positions": 256} if name == "gpt2" else {}
    talk = begin(name, **changes)
    talk.prompts.end_ids = frozenset()  # random weights may draw nothing else
    for text in TEXTS:
        expected, turn = answer_alone(talk, text), talk.begin(text)
        words = str(talk.trained.tokenizer.decode(expected, skip_special_tokens=True))
        assert "".join(talk.write(turn)) == words.strip()
        assert turn.answer == expected
    assert [each["role"] for each in talk.messages] == ["user", "assistant"] * 4


def test_a_turn_computes_its_own_tokens_only(begin: Begin) -> None:
    """The last token of the answer, the line between, and the new answer but for its last."""
    talk = begin(template="{% for m in messages %}{{ m.content }}/{% endfor %}")
    vocab = talk.trained.tokenizer.get_vocab()
    spaces = [vocab[each] for each in (" ", "\n", "<eos>", "<unk>")]
    forbid(talk, spaces)  # which are not kept at an end, or not encoded as they were drawn
    costs = []
    for text in TEXTS:
        before, turn = talk.reader.computed, talk.begin(text)
        list(talk.write(turn))
        costs.append(talk.reader.computed - before)
    assert costs == [len(TEXTS[0]) + 8, *(len(f"/{text}/") + 8 for text in TEXTS[1:])]
    assert costs[-1] < len(turn.ids) / 3


def test_other_turns_other_draws_same_seed_same_draws(begin: Begin) -> None:
    settings = GenerationConf(temperature=2.0, max_new_tokens=12)
    first, again = begin(settings=settings), begin(settings=settings)
    told = [say(first, "a"), say(first, "a")]
    assert told == [say(again, "a"), say(again, "a")]
    first.reset()
    assert say(first, "a") != told[0]


def test_an_answer_ends_at_an_end_token_and_a_stop_text(begin: Begin) -> None:
    talk = begin()
    (first, *rest) = answer_alone(talk, "a")
    talk.prompts.end_ids = frozenset({rest[1]})
    turn = talk.begin("a")
    list(talk.write(turn))
    cut = [first, *rest].index(rest[1])
    assert (turn.end, turn.answer) == ("end", [first, *rest][:cut])

    text = str(talk.trained.tokenizer.decode([first, *rest])).strip()
    stopping = begin(chat=ChatConf(stop=[text[2:4]]))
    turn = stopping.begin("a")
    told = "".join(stopping.write(turn))
    assert (turn.end, told) == ("end", text[: text.index(text[2:4])])


def test_an_answer_that_is_stopped_is_kept_as_far_as_it_came(begin: Begin) -> None:
    talk = begin()
    turn = talk.begin("a")
    with closing(talk.write(turn)) as pieces:
        told = "".join([next(pieces), next(pieces)])
    assert turn.end == "stopped"
    assert talk.messages[-1] == {"role": "assistant", "content": told.strip()}
    expected = answer_alone(talk, "b")
    following = talk.begin("b")
    list(talk.write(following))
    assert following.answer == expected


def test_a_turn_whose_numbers_are_not_finite_is_not_kept(begin: Begin) -> None:
    talk = begin()
    talk.trained.model.lm_head.weight.data.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        say(talk, "a")
    assert talk.messages == []


def test_the_oldest_turns_are_left_out_whole_where_the_window_is_full(begin: Begin) -> None:
    """Window 96, answers of 8 tokens: from 88 tokens on, turns go until 48 or fewer are left."""
    talk = begin(max_position_embeddings=96, chat=ChatConf(system="SHE"))
    while not (turn := talk.begin("has he")).dropped:
        assert len(turn.ids) <= 88
        list(talk.write(turn))
    assert len(turn.ids) <= 48
    assert turn.messages[0] == {"role": "system", "content": "SHE"}
    assert turn.messages[1]["role"] == "user"
    whole = [*talk.transcript(), turn.messages[-1]]
    assert whole == [whole[0], *turn.dropped, *turn.messages[1:]]
    expected = answer_alone(talk, "has he")
    list(talk.write(turn))
    assert turn.answer == expected
    assert talk.transcript()[: len(whole)] == whole
    talk.reset()
    assert talk.transcript() == [{"role": "system", "content": "SHE"}]


def test_a_full_window_can_be_refused_instead(begin: Begin) -> None:
    talk = begin(max_position_embeddings=64, chat=ChatConf(overflow="refuse"))
    say(talk, "has he")
    with pytest.raises(DataError, match=r"the window of 64 has to hold an answer of up to 8"):
        say(talk, "has he has a sheep")
    talk.undo()
    say(talk, "has he has a sheep")


def test_a_message_longer_than_the_window_is_refused(begin: Begin) -> None:
    talk = begin(max_position_embeddings=32)
    with pytest.raises(DataError, match=r"has 58 tokens with its template, and .* holds 32"):
        talk.begin("a" * 40)
    short = talk.begin("a" * 10)
    assert (len(short.ids), short.limit) == (28, 4)
    list(short.answer)


def test_taking_back_and_the_systems_message(begin: Begin) -> None:
    talk = begin()
    assert talk.undo() is None
    first = say(talk, "a")
    say(talk, "b")
    assert talk.undo() == "b"
    assert talk.messages == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": first},
    ]
    talk.set_system("SHE")
    assert [each["role"] for each in talk.messages] == ["system", "user", "assistant"]
    talk.set_system("")
    assert [each["role"] for each in talk.messages] == ["user", "assistant"]
    assert talk.undo() == "a"
    assert say(talk, "a") == first
