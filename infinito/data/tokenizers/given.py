"""A tokenizer object that exists already, such as a checkpoint's own."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from transformers import PreTrainedTokenizerFast

from infinito.data.tokenizers.spec import TokenizerSpec


@dataclass(frozen=True)
class GivenTokenizer(TokenizerSpec):
    """Exactly this tokenizer, whatever the text."""

    tokenizer: PreTrainedTokenizerFast

    is_trained = False

    def build(
        self,
        pieces: Iterable[str] = (),  # noqa: ARG002
        *,
        separates_documents: bool = False,  # noqa: ARG002
    ) -> PreTrainedTokenizerFast:
        return self.tokenizer
