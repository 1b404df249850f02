"""One token per character."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from infinito.data.tokenizers.spec import END, UNKNOWN, TokenizerSpec, wrapped


@dataclass(frozen=True)
class CharTokenizer(TokenizerSpec):
    """The characters of the training split in code point order, after the special tokens.

    `<eos>` is among them only where documents are separated: one file of 65 characters gives, with
    `unknown=False`, the 65 tokens of the standard recipe.

    Args:
        unknown: adds `<unk>` for characters that the training split lacks; without it such a
            character is an error when it is met.
    """

    unknown: bool = True

    def build(self, pieces: Iterable[str], *, separates_documents: bool) -> PreTrainedTokenizerFast:
        characters: set[str] = set()
        for piece in pieces:
            characters.update(piece)
        special = {"unk_token": UNKNOWN} if self.unknown else {}
        if separates_documents:
            special["eos_token"] = END
        vocab = {token: i for i, token in enumerate([*special.values(), *sorted(characters)])}
        backend = Tokenizer(models.WordLevel(vocab, unk_token=UNKNOWN))
        backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
        backend.decoder = decoders.Fuse()
        return wrapped(backend, **special)
