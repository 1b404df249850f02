"""Turns conversations into token ids, and marks those that the assistant wrote."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from itertools import pairwise

from transformers import PreTrainedTokenizerBase

from infinito.data.conversations.conversation import TextConversation, TokenizedConversation
from infinito.data.conversations.rendering.messages import Messages, to_messages
from infinito.data.conversations.rendering.template import ChatTemplate
from infinito.data.conversations.rendering.turns import MARKED_PLAIN, Span, render_turns
from infinito.data.conversations.rows.faults import RowFault, TooLong
from infinito.errors import DataError


class ConversationTokenizer:
    """Turns conversations into token ids that fit a window; nothing is ever cut.

    The template writes all special tokens itself, also the one that begins a text.

    Args:
        tokenizer: A fast Hugging Face tokenizer.
        window: Most tokens of a conversation.
        chat: Put rows of prompt and completion as text through the chat template too.
        chat_template: Jinja text, "plain" for `MARKED_PLAIN`, or None for the tokenizer's own.
        vocab: Number of ids that the model has; None where that is not known.

    Raises:
        DataError: the tokenizer has no end-of-text token.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        window: int,
        chat: bool = True,
        chat_template: str | None = None,
        vocab: int | None = None,
    ) -> None:
        if tokenizer.eos_token_id is None:
            raise DataError(
                "the tokenizer has no end-of-text token, so no answer could end. Use another "
                "`tokenizer`, e.g. `tokenizer=bpe`"
            )
        self.tokenizer = tokenizer
        self.window, self.chat, self.vocab = window, chat, vocab
        self.template_text = MARKED_PLAIN if chat_template == "plain" else chat_template

    def __call__(self, conversation: TextConversation) -> TokenizedConversation:
        """Return the token ids of a conversation.

        Raises:
            RowFault: see `render`; too long for the window, or nothing in it is learned.
            DataError: an id that the model does not have.
        """
        text, spans = self.render(conversation)
        ids, learned, _ = self._encode(text, spans)
        if not self._is_chat(conversation) or not self._template.has_marks(conversation.tools):
            ids, learned = self._end(ids, learned)
        if self.vocab is not None and max(ids) >= self.vocab:
            raise DataError(
                f"row {conversation.row}: token id {max(ids)} is beyond the model's {self.vocab} "
                "embeddings. Tokenizer and model do not belong together: leave `tokenizer.*` out, "
                "so that the model's own is taken"
            )
        if len(ids) > self.window:
            raise TooLong(
                "too long",
                f"has {len(ids)} tokens, the window has {self.window}",
                len(ids),
                None,
            )
        learned = [place for place in learned if place > 0]
        if not learned:
            raise RowFault(
                "nothing to learn",
                "has no token that the assistant wrote",
                "Mark answers in the `data.chat_template` by {% generation %}, or use plain",
            )
        size = sum(self._count_bytes(text[first:end]) for first, end in spans)
        return TokenizedConversation(ids, learned, size, conversation.row)

    def render(self, conversation: TextConversation) -> tuple[str, list[Span]]:
        """Return a conversation as the model reads it, and where the assistant's text lies in it.

        Raises:
            RowFault: see `render_turns`.
        """
        if self._is_chat(conversation):
            return render_turns(self._template, conversation)
        prompt, answer = (each["content"] for each in conversation.messages)
        return prompt + answer, [(len(prompt), len(prompt + answer))]

    def encode_prompt(self, messages: Messages) -> list[int]:
        """Return the token ids of messages up to where an answer begins, uncut."""
        text = self._template.render(messages, opens_answer=True).rstrip(" ")
        return self._encode(text, [])[0]

    def count_tokens(self, text: str) -> int:
        """Return the tokens of a text by itself."""
        return len(self._encode_piece(text)[0])

    @cached_property
    def end_ids(self) -> list[int]:
        """The ids that end an answer: the end of text, and the special token that ends a turn."""
        trial = TextConversation((*to_messages("a", "user"), *to_messages("b", "assistant")), 0)
        found = [int(self.tokenizer.eos_token_id)]
        try:
            text, spans = render_turns(self._template, trial)
        except RowFault:  # it wants other roles than the trial has
            return found
        ids, learned, _ = self._encode(text, spans)
        token = self.tokenizer.added_tokens_decoder.get(ids[learned[-1]]) if learned else None
        is_other = token is not None and token.special and ids[learned[-1]] not in found
        return [*found, ids[learned[-1]]] if is_other else found

    def merges(self, conversation: TextConversation) -> bool:
        """Whether some token of the text, encoded as a whole, lies on both sides of a mark."""
        return self._encode(*self.render(conversation))[2]

    @cached_property
    def _template(self) -> ChatTemplate:
        return ChatTemplate(self.tokenizer, self.template_text)

    def _is_chat(self, conversation: TextConversation) -> bool:
        return self.chat or not conversation.is_text

    def _encode(self, text: str, spans: Sequence[Span]) -> tuple[list[int], list[int], bool]:
        """Return token ids, the places of the learned ones, and whether a mark splits a token.

        Such a token would not be there when the model answers: the text is then encoded in pieces.
        """
        ids, offsets = self._encode_piece(text)
        starts = {first for first, _ in spans}
        merges = any(low < start < high for low, high in offsets for start in starts)
        if merges:
            cuts = sorted({0, *starts, len(text)})
            ids, offsets = [], []
            for low, high in pairwise(cuts):
                piece, places = self._encode_piece(text[low:high])
                ids += piece
                offsets += [(low + first, low + end) for first, end in places]
        learned = [
            place
            for place, (low, high) in enumerate(offsets)
            if any(low < end and high > first for first, end in spans)
        ]
        return ids, learned, merges

    def _encode_piece(self, text: str) -> tuple[list[int], list[Span]]:
        try:
            found = self.tokenizer(
                text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
        except Exception as error:  # tokenizers raises bare Exception for a missing unknown token
            raise RowFault(
                "unknown character",
                f"has a character that the tokenizer does not know ({error})",
                "Use `tokenizer.unknown=true`, or `tokenizer=bpe`, which knows every byte",
            ) from None
        return list(found["input_ids"]), [(low, high) for low, high in found["offset_mapping"]]

    def _end(self, ids: list[int], learned: list[int]) -> tuple[list[int], list[int]]:
        """End the last answer by the end-of-text token, unless a special token ends it already."""
        token = self.tokenizer.added_tokens_decoder.get(ids[-1]) if ids else None
        if token is not None and token.special:
            return ids, learned
        return [*ids, int(self.tokenizer.eos_token_id)], [*learned, len(ids)]

    def _count_bytes(self, text: str) -> int:
        for token in self.tokenizer.all_special_tokens:
            text = text.replace(token, "")
        return len(text.encode())
