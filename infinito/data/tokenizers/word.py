"""One token per word between white space, with a fixed vocabulary."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from infinito.data.tokenizers.spec import END, UNKNOWN, TokenizerSpec, check_vocab_size, wrapped

NO_LIMIT = 1 << 40


@dataclass(frozen=True)
class WordTokenizer(TokenizerSpec):
    """`<unk>`, `<eos>` for every line end, then the words of the training split by frequency.

    Text that spells `<unk>`, as WikiText does, is the unknown token. Decoding puts one space
    between words, so white space other than line ends is not kept.

    Args:
        vocab_size: the most frequent words are kept, `<unk>` and `<eos>` counted; None keeps all.
        min_frequency: occurrences that a word needs.
    """

    vocab_size: int | None = None
    min_frequency: int = 1

    def build(
        self,
        pieces: Iterable[str],
        *,
        separates_documents: bool,  # noqa: ARG002
    ) -> PreTrainedTokenizerFast:
        backend = Tokenizer(models.WordLevel(unk_token=UNKNOWN))
        backend.normalizer = normalizers.Replace("\n", f" {END} ")
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        joined = decoders.WordPiece(prefix="\0", cleanup=False)
        backend.decoder = decoders.Sequence([joined, decoders.Replace(END, "\n")])
        trainer = trainers.WordLevelTrainer(
            vocab_size=NO_LIMIT, min_frequency=self.min_frequency, show_progress=False
        )
        backend.train_from_iterator(pieces, trainer)
        rank = backend.get_vocab()
        words = sorted(rank.keys() - {UNKNOWN, END}, key=lambda word: rank[word])
        kept = [UNKNOWN, END, *words][: self.vocab_size]
        limit = f"words seen at least {self.min_frequency} times"
        check_vocab_size(self.vocab_size or 0, len(kept), limit)
        backend.model = models.WordLevel({w: i for i, w in enumerate(kept)}, unk_token=UNKNOWN)
        return wrapped(backend, unk_token=UNKNOWN, eos_token=END)
