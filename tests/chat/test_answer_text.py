"""Pieces of an answer join to its text, whatever the tokens are and wherever a stop text lies."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from infinito.chat.answer_text import AnswerText, overlap
from infinito.data.tokenizers.bpe import BpeTokenizer

BYTES = BpeTokenizer(257).build([], separates_documents=True)


def told(text: str | list[int], *stops: str) -> list[str]:
    """The pieces of an answer, one for each of its tokens, then the last."""
    answer = AnswerText(BYTES, stops)
    pieces = []
    for token in BYTES(text)["input_ids"] if isinstance(text, str) else text:
        pieces.append(answer.push(token))
        if answer.has_stopped:
            break
    return [*pieces, answer.finish()]


@given(st.lists(st.integers(1, 256), max_size=20))
def test_pieces_of_any_bytes_join_to_what_the_decoder_writes(ids: list[int]) -> None:
    assert "".join(told(ids)) == str(BYTES.decode(ids)).strip()


def test_a_character_comes_whole() -> None:
    assert told("a é€") == ["a", "", "", " é", "", "", "€", ""]


def test_bytes_that_never_become_a_character_come_at_the_end() -> None:
    first_of_three = BYTES("€")["input_ids"][:1]
    assert told([*BYTES("a")["input_ids"], *first_of_three]) == ["a", "", "\ufffd"]


def test_white_space_around_the_answer_is_left_out() -> None:
    assert "".join(told("  \n a b ")) == "a b"


def test_a_stop_text_ends_the_answer_and_is_no_part_of_it() -> None:
    assert "".join(told("ab\nHuman: c", "\nHuman:")) == "ab"
    assert "".join(told("\nHuman: c", "\nHuman:")) == ""


def test_the_first_of_several_stop_texts_counts() -> None:
    assert "".join(told("one two three", "three", "two")) == "one"


def test_what_only_began_like_a_stop_text_is_given_out() -> None:
    assert "".join(told("a\nHu", "\nHuman:")) == "a\nHu"
    assert "".join(told("a\nHugo", "\nHuman:")) == "a\nHugo"


@given(st.text("ab", max_size=12), st.lists(st.text("ab", min_size=1, max_size=4), max_size=2))
def test_an_answer_is_the_text_before_the_first_stop_text(text: str, stops: list[str]) -> None:
    ends = [text.find(stop) for stop in stops if stop in text]
    # at the first token with which any stop text is complete, the one that begins first
    complete = min((text.find(stop) + len(stop) for stop in stops if stop in text), default=0)
    begun = [at for at in ends if any(text[at:complete].startswith(stop) for stop in stops)]
    assert "".join(told(text, *stops)) == (text[: min(begun)] if begun else text)


def test_overlap() -> None:
    assert overlap("abc", "cd") == 1
    assert overlap("ab\nHum", "\nHuman:") == 4
    assert overlap("abc", "x") == 0
