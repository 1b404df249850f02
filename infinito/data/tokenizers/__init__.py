"""Tokenizers that a configuration can name; each builds a Hugging Face fast tokenizer."""

from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.data.tokenizers.char import CharTokenizer
from infinito.data.tokenizers.pretrained import PretrainedTokenizer
from infinito.data.tokenizers.spec import TokenizerSpec
from infinito.data.tokenizers.word import WordTokenizer

__all__ = [
    "BpeTokenizer",
    "CharTokenizer",
    "PretrainedTokenizer",
    "TokenizerSpec",
    "WordTokenizer",
]
