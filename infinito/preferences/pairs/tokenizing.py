"""Turns pairs of text into token ids, and cuts them only where `data.truncate` says so."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from transformers import PreTrainedTokenizerBase

from infinito.data.conversations.rendering.template import ChatTemplate
from infinito.data.conversations.rows.faults import RowFault, TooLong
from infinito.errors import DataError
from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.pairs.rendering import render_pair
from infinito.preferences.pairs.text_pair import TextPair


class PairTokenizer:
    """Turns pairs of text into token ids that fit a window.

    Args:
        tokenizer: Any Hugging Face tokenizer.
        window: Most tokens of a prompt and an answer together.
        truncate: "never" refuses longer pairs; "prompt_start" drops the prompt's beginning;
            "answer_end" drops the answers' ends, the end-of-text token with them.
        chat: Put text through the chat template too, as a user's and an assistant's message;
            dialogues keep their own turns.
        chat_template: See `ChatTemplate`.
        end_token: Token that ends an answer; None for the one with which the template ends a turn,
            or else the tokenizer's end-of-text token.
        vocab: Number of ids that the model has; None where that is not known.

    Raises:
        DataError: the tokenizer has no such end-of-text token.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        window: int,
        truncate: str = "never",
        chat: bool = False,
        chat_template: str | None = None,
        end_token: str | None = None,
        vocab: int | None = None,
    ) -> None:
        self.tokenizer = tokenizer
        self.window = window
        self.truncate = truncate
        self.chat = chat
        self.chat_template = chat_template
        self.vocab = vocab
        self.end_token = end_token
        self.end_id = find_end_id(tokenizer, end_token)

    def __call__(self, pair: TextPair) -> TokenizedPair:
        """Return the token ids of a pair.

        Raises:
            RowFault: too long for the window, or equal answers once it is cut.
            DataError: an id that the model does not have.
        """
        prompt, *texts = self.render(pair)
        prompt_ids = self._encode_prompt(prompt, pair)
        answers = [self._encode_answer(prompt, prompt_ids, each, pair)[0] for each in texts]
        self._check_vocab(pair.row, [*prompt_ids, *answers[0], *answers[1]])
        equal_uncut = answers[0] == answers[1]
        prompt_ids, answers = self._fit(prompt_ids, answers)
        if answers[0] == answers[1]:
            raise RowFault(
                "identical answers",
                "has equal answers as token ids" + ("" if equal_uncut else " once cut"),
                "Leave the row out"
                if equal_uncut
                else "Choose a larger `data.block_size` or leave the row out",
            )
        return TokenizedPair(
            prompt_ids, answers[0], answers[1], pair.category, pair.row, pair.weight
        )

    def render(self, pair: TextPair) -> tuple[str, str, str]:
        """Return prompt, chosen and rejected as the text that the model reads."""
        if not self._is_chat(pair):
            assert isinstance(pair.prompt, str)
            assert isinstance(pair.chosen, str)
            assert isinstance(pair.rejected, str)
            return pair.prompt, pair.chosen, pair.rejected
        return render_pair(self._template, pair)

    def encode_prompt(self, pair: TextPair) -> list[int]:
        """Return the token ids of a pair's prompt, uncut, as generation starts from them."""
        return self._encode_prompt(self.render(pair)[0], pair)

    def merges(self, pair: TextPair) -> bool:
        """Whether some token of prompt and answer, encoded as one text, belongs to both."""
        prompt, *answers = self.render(pair)
        prompt_ids = self._encode_prompt(prompt, pair)
        return any(self._encode_answer(prompt, prompt_ids, each, pair)[1] for each in answers)

    def end_ids(self, pair: TextPair) -> list[int]:
        """Return the ids that end an answer: at each of them generation stops."""
        if self.end_token is not None or not self._is_chat(pair):
            return [self.end_id]
        turn_end_id = self._template.turn_end_id
        return [self.end_id] if turn_end_id is None else [self.end_id, turn_end_id]

    @cached_property
    def _template(self) -> ChatTemplate:
        return ChatTemplate(self.tokenizer, self.chat_template)

    def _encode_answer(
        self, prompt: str, prompt_ids: list[int], answer: str, pair: TextPair
    ) -> tuple[list[int], bool]:
        """Return the token ids of an answer after its prompt, and whether the two share a token.

        Where a tokenizer would merge the prompt's last letters with the answer's first, the answer
        is encoded alone, so that both answers follow the same prompt.
        """
        whole = self._encode(prompt + answer, self._adds_special_tokens(pair))
        merges = whole[: len(prompt_ids)] != prompt_ids
        ids = self._encode(answer, special=False) if merges else whole[len(prompt_ids) :]
        return (ids if ids and ids[-1] in self.end_ids(pair) else [*ids, self.end_id]), merges

    def _encode_prompt(self, prompt: str, pair: TextPair) -> list[int]:
        ids = self._encode(prompt, self._adds_special_tokens(pair))
        if ids[-1:] == [self.end_id]:  # some tokenizers close every text
            ids = ids[:-1]
        if not ids:
            raise RowFault("empty field", "has a prompt without a token", "Give it text")
        return ids

    def _is_chat(self, pair: TextPair) -> bool:
        return not isinstance(pair.prompt, str) or (self.chat and not pair.has_turns)

    def _adds_special_tokens(self, pair: TextPair) -> bool:
        """Whether the tokenizer opens the text itself; other templates than `plain` write that."""
        return not self._is_chat(pair) or self.chat_template == "plain"

    def _encode(self, text: str, special: bool) -> list[int]:
        try:
            return list(
                self.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"]
            )
        except Exception as error:  # tokenizers raises bare Exception for a missing unknown token
            raise RowFault(
                "unknown character",
                f"has a character that the tokenizer does not know ({error})",
                "Use `tokenizer.unknown=true`, or `tokenizer=bpe`, which knows every byte",
            ) from None

    def _check_vocab(self, row: int, ids: Sequence[int]) -> None:
        if self.vocab is not None and max(ids) >= self.vocab:
            raise DataError(
                f"row {row}: token id {max(ids)} is beyond the model's {self.vocab} embeddings. "
                "Tokenizer and model do not belong together: leave `tokenizer.*` out, so that the "
                "model's own is taken"
            )

    def _fit(
        self, prompt: list[int], answers: list[list[int]]
    ) -> tuple[list[int], list[list[int]]]:
        longest = max(map(len, answers))
        if len(prompt) + longest <= self.window:
            return prompt, answers
        if self.truncate == "prompt_start" and longest < self.window:
            first = prompt[:1] if prompt[0] == self.tokenizer.bos_token_id else []
            kept = self.window - longest - len(first)
            return [*first, *(prompt[-kept:] if kept else [])], answers
        if self.truncate == "answer_end" and len(prompt) < self.window:
            return prompt, [each[: self.window - len(prompt)] for each in answers]
        prompt_fills, answer_fills = len(prompt) >= self.window, longest >= self.window
        cut = "prompt_start" if prompt_fills else "answer_end"
        raise TooLong(
            "answer too long" if answer_fills or not prompt_fills else "prompt too long",
            f"has {len(prompt)} tokens of prompt and {longest} of answer, the window has "
            f"{self.window}",
            len(prompt) + longest,
            None if prompt_fills and answer_fills else cut,
        )


def find_end_id(tokenizer: PreTrainedTokenizerBase, end_token: str | None) -> int:
    """Return the id of the token that ends an answer.

    Raises:
        DataError: the tokenizer has no end-of-text token, or no such token as `end_token`.
    """
    if end_token is None:
        if tokenizer.eos_token_id is None:
            raise DataError(
                "the tokenizer has no end-of-text token, so no answer could end. Name one of its "
                "tokens, e.g. `data.end_token=</s>`"
            )
        return int(tokenizer.eos_token_id)
    found = tokenizer.get_vocab().get(end_token)
    if found is None:
        raise DataError(f"`data.end_token`={end_token} is no token of the tokenizer")
    return int(found)
