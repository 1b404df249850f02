"""Pairs of text made into token ids, cut only as asked."""

from __future__ import annotations

from collections.abc import Sequence

from transformers import PreTrainedTokenizerBase

from infinito.errors import DataError
from infinito.preferences.pairs.chat import ChatTemplate
from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.pairs.text_pair import RowFault, TextPair

TRUNCATIONS = ("never", "prompt_start", "answer_end")


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
        end_token: What ends an answer; None for the tokenizer's end-of-text token.
        vocab: Ids that the model has; None where that is not known.

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
        self.end_id = find_end_id(tokenizer, end_token)

    def __call__(self, pair: TextPair) -> TokenizedPair:
        """The token ids of a pair.

        Raises:
            RowFault: too long for the window, or equal answers once it is cut.
            DataError: an id that the model does not have.
        """
        prompt, chosen, rejected = self.texts(pair)
        prompt_ids = self._prompt_ids(prompt, pair)
        special = not self._is_chat(pair)
        answers = [
            self._answer_ids(prompt, prompt_ids, each, special)[0] for each in (chosen, rejected)
        ]
        self._check_vocab(pair.row, [*prompt_ids, *answers[0], *answers[1]])
        equal_uncut = answers[0] == answers[1]
        prompt_ids, answers = self._fitted(prompt_ids, answers)
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

    def texts(self, pair: TextPair) -> tuple[str, str, str]:
        """Prompt, chosen and rejected as the text that the model reads."""
        if not self._is_chat(pair):
            assert isinstance(pair.prompt, str)
            assert isinstance(pair.chosen, str)
            assert isinstance(pair.rejected, str)
            return pair.prompt, pair.chosen, pair.rejected
        return ChatTemplate(self.tokenizer, self.chat_template).texts(pair)

    def prompt_ids(self, pair: TextPair) -> list[int]:
        """The token ids of a pair's prompt, uncut, as generation starts from them."""
        return self._prompt_ids(self.texts(pair)[0], pair)

    def merges(self, pair: TextPair) -> bool:
        """Whether prompt and an answer, encoded as one, do not part where the prompt ends."""
        prompt, *answers = self.texts(pair)
        prompt_ids, special = self._prompt_ids(prompt, pair), not self._is_chat(pair)
        return any(self._answer_ids(prompt, prompt_ids, each, special)[1] for each in answers)

    def _answer_ids(
        self, prompt: str, prompt_ids: list[int], answer: str, special: bool
    ) -> tuple[list[int], bool]:
        """The token ids of an answer after its prompt, and whether the two merge at their boundary.

        Where a tokenizer would merge the prompt's last letters with the answer's first, the answer
        is encoded alone, so that both answers follow the same prompt.

        Args:
            special: Whether the tokenizer opens the prompt with its own special tokens.
        """
        whole = self._ids(prompt + answer, special)
        merges = whole[: len(prompt_ids)] != prompt_ids
        ids = self._ids(answer, special=False) if merges else whole[len(prompt_ids) :]
        return (ids if ids[-1:] == [self.end_id] else [*ids, self.end_id]), merges

    def _prompt_ids(self, prompt: str, pair: TextPair) -> list[int]:
        ids = self._ids(prompt, special=not self._is_chat(pair))
        if ids[-1:] == [self.end_id]:  # some tokenizers close every text
            ids = ids[:-1]
        if not ids:
            raise RowFault("empty field", "has a prompt without a token", "Give it text")
        return ids

    def _is_chat(self, pair: TextPair) -> bool:
        return not isinstance(pair.prompt, str) or (self.chat and not pair.has_turns)

    def _ids(self, text: str, special: bool) -> list[int]:
        return list(self.tokenizer(text, add_special_tokens=special, verbose=False)["input_ids"])

    def _check_vocab(self, row: int, ids: Sequence[int]) -> None:
        if self.vocab is not None and max(ids) >= self.vocab:
            raise DataError(
                f"row {row}: token id {max(ids)} is beyond the model's {self.vocab} embeddings. "
                "Tokenizer and model do not belong together: leave `tokenizer.*` out, so that the "
                "model's own is taken"
            )

    def _fitted(
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
        raise RowFault(
            "answer too long" if answer_fills or not prompt_fills else "prompt too long",
            f"has {len(prompt)} tokens of prompt and {longest} of answer, the window has "
            f"{self.window}",
            f"Use `data.block_size={len(prompt) + longest}`"
            + ("" if prompt_fills and answer_fills else f" or `data.truncate={cut}`"),
        )


def find_end_id(tokenizer: PreTrainedTokenizerBase, end_token: str | None) -> int:
    """The id of the token that ends an answer.

    Raises:
        DataError: the tokenizer has none, or not the one asked for.
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
