"""llama.cpp itself reads what is written as GGUF and predicts what the model predicts.

It runs where the wheel of llama.cpp is installed: `pip install llama-cpp-py-sync`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.models.gguf.weights import write_gguf
from tests.models.gguf.test_weights import made

llama_cpp = pytest.importorskip("llama_cpp_py_sync", reason="llama-cpp-py-sync is not installed")

TEXT = "some text, some more text, and a word"
TOKENS = 40


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return BpeTokenizer(270).build([TEXT] * 9, separates_documents=True)


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """llama.cpp on one thread, its cache in float32."""
    model = llama_cpp.Llama(
        str(path), n_ctx=64, n_threads=1, type_k="f32", type_v="f32", flash_attn_type=0
    )
    try:
        yield model
    finally:
        model.close()


def feed(model: Any, token: int, place: int, vocab: int) -> Tensor:
    """Return llama.cpp's logits (vocab,) after one more token."""
    model._eval_tokens([token], place)
    logits = model._lib.llama_get_logits(model._ctx)
    return torch.frombuffer(bytearray(model._ffi.buffer(logits, 4 * vocab)), dtype=torch.float32)


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_llama_cpp_predicts_the_same(
    family: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """Token by token, greedily: the same tokens, with the same log-probabilities."""
    model = made(family)
    write_gguf(model, tokenizer, tmp_path / "model.gguf")
    with opened(tmp_path / "model.gguf") as there:
        text = "some more text"
        ids = tokenizer(text)["input_ids"]
        assert there.tokenize(text, add_special=False) == ids
        for place in range(TOKENS):
            found = feed(there, ids[place], place, 270).log_softmax(-1)
            with torch.no_grad():
                logits = model(torch.tensor([ids[: place + 1]])).logits[0, -1]  # (vocab,)
            torch.testing.assert_close(found, logits.log_softmax(-1), rtol=0, atol=5e-3)
            if place + 1 == len(ids):
                ids.append(int(found.argmax()))
                assert ids[-1] == int(logits.argmax())
