"""Writes a Hugging Face tokenizer into GGUF: byte-level BPE, or BPE with byte fallback."""

from __future__ import annotations

import json
from typing import Any

from transformers import PreTrainedTokenizerFast

from infinito.errors import ConfigError
from infinito.extras import require_extra

QWEN2_SPLIT = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
LLAMA3_SPLIT = QWEN2_SPLIT.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
SPLITS = {QWEN2_SPLIT: "qwen2", LLAMA3_SPLIT: "llama-bpe"}
"""llama.cpp's names of the expressions by which byte-level tokenizers split text into words."""

LOWEST_SCORE = -1e6


def add_tokenizer(writer: Any, tokenizer: PreTrainedTokenizerFast, vocab: int) -> None:
    """Add a tokenizer's tokens, merges and special ids.

    Args:
        writer: A `gguf.GGUFWriter`.
        tokenizer: Any fast tokenizer of a supported kind.
        vocab: Rows of the model's embedding; those without a token get a name.

    Raises:
        ConfigError: the tokenizer is of another kind.
    """
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    model = content["model"]
    if model["type"] != "BPE":
        raise unsupported(f"its model is {model['type']}")
    merges = [" ".join(each) if isinstance(each, list) else each for each in model["merges"]]
    words = _words(content)
    writer.add_tokenizer_model("llama" if words is None else "gpt2")
    writer.add_tokenizer_pre("default" if words is None else words)
    tokens, kinds = tokens_and_kinds(tokenizer, vocab, set(model["vocab"]))
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    if words is None:
        writer.add_token_scores(_scores(tokens, merges))
    else:
        writer.add_token_merges(merges)
    for name in ("bos", "eos", "unk", "pad"):
        number = getattr(tokenizer, f"{name}_token_id")
        if number is not None:
            getattr(writer, f"add_{name}_token_id")(number)
    writer.add_add_bos_token(tokenizer("a")["input_ids"][0] == tokenizer.bos_token_id)
    if tokenizer.chat_template is not None:
        writer.add_chat_template(tokenizer.chat_template)


def tokens_and_kinds(
    tokenizer: PreTrainedTokenizerFast, vocab: int, plain: set[str]
) -> tuple[list[str], list[int]]:
    """Return every id's token and its kind (`gguf.TokenType`).

    Args:
        tokenizer: Any fast tokenizer.
        vocab: Number of ids.
        plain: Tokens of the BPE model itself.
    """
    require_extra("gguf")
    from gguf import TokenType

    by_id = {number: token for token, number in tokenizer.get_vocab().items()}
    special = set(tokenizer.all_special_tokens) | {
        each.content for each in tokenizer.added_tokens_decoder.values() if each.special
    }
    tokens, kinds = [], []
    for number in range(vocab):
        token = by_id.get(number)
        if token is None:
            kind = TokenType.UNUSED
        elif token == tokenizer.unk_token and token not in (tokenizer.eos_token,):
            kind = TokenType.UNKNOWN
        elif token in special:
            kind = TokenType.CONTROL
        elif token not in plain:
            kind = TokenType.USER_DEFINED
        elif len(token) == 6 and token.startswith("<0x") and token.endswith(">"):
            kind = TokenType.BYTE
        else:
            kind = TokenType.NORMAL
        tokens.append(f"[unused{number}]" if token is None else token)
        kinds.append(int(kind))
    return tokens, kinds


def unsupported(why: str) -> ConfigError:
    """Return the error for a tokenizer that GGUF cannot describe."""
    return ConfigError(
        f"this tokenizer has no form in GGUF: {why}. Leave gguf out of `dpo.export`, e.g. "
        "`dpo.export=[model]`"
    )


def _words(content: dict[str, Any]) -> str | None:
    """Return llama.cpp's name of the split into words; None for BPE with byte fallback: no split.

    Raises:
        ConfigError: llama.cpp has no name for it.
    """
    parts = content["pre_tokenizer"]
    if parts is None or parts["type"] == "Metaspace":
        if content["model"]["byte_fallback"]:
            return None
        raise unsupported("it neither works on bytes nor falls back to them")
    steps = parts["pretokenizers"] if parts["type"] == "Sequence" else [parts]
    kinds = [each["type"] for each in steps]
    if kinds == ["ByteLevel"] and steps[0].get("use_regex", True):
        return "gpt-2"
    if kinds == ["Split", "ByteLevel"]:
        found = SPLITS.get(steps[0]["pattern"].get("Regex", ""))
        if found is not None:
            return found
    raise unsupported(f"it splits text by {' and '.join(kinds)} in a way llama.cpp does not know")


def _scores(tokens: list[str], merges: list[str]) -> list[float]:
    """Return scores as SentencePiece does: the earlier a token is merged, the higher."""
    rank: dict[str, int] = {}
    for number, merge in enumerate(merges):
        rank.setdefault(merge.replace(" ", "", 1), number)
    return [-float(rank[token]) if token in rank else LOWEST_SCORE for token in tokens]
