"""llama.cpp itself reads what is written as GGUF and predicts what the model predicts.

It runs where a wheel of llama.cpp is installed: `pip install xllamacpp`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedTokenizerFast

from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.models.gguf.weights import write_gguf
from tests.models.gguf.test_weights import made

llama_cpp = pytest.importorskip("xllamacpp", reason="xllamacpp, a wheel of llama.cpp, is missing")

TEXT = "some text, some more text, and a word"
FLOAT32, OFF = 0, 0
"""llama.cpp's numbers for a cache in float32 and for no flash attention."""


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return BpeTokenizer(270).build([TEXT] * 9, separates_documents=True)


def continued(path: Path, prompt: str, tokens: int, banned: list[int]) -> list[dict[str, Any]]:
    """Return llama.cpp's greedy continuation, a token and its log-probability each."""
    params = llama_cpp.CommonParams()
    params.model.path = str(path)
    params.n_ctx = 64
    params.cpuparams.n_threads = params.cpuparams_batch.n_threads = 1
    params.cache_type_k = params.cache_type_v = FLOAT32
    params.flash_attn_type = OFF
    request = {"prompt": prompt, "max_tokens": tokens, "temperature": 0, "logprobs": 1}
    request["logit_bias"] = [[each, False] for each in banned]
    answer = llama_cpp.Server(params).handle_completions(request)
    return answer["choices"][0]["logprobs"]["content"]


@pytest.mark.slow
@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_llama_cpp_predicts_the_same(
    family: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    """40 greedy tokens after a prompt that it splits itself, each with its log-probability.

    The log-probabilities are those of the whole vocabulary. Of the tokens only ASCII text may be
    drawn, as llama.cpp reports bytes of an unfinished letter together, under the last one's id.
    """
    model = made(family)
    write_gguf(model, tokenizer, tmp_path / "model.gguf")
    texts = tokenizer.batch_decode([[each] for each in range(len(tokenizer))])
    banned = [0, *(each for each, text in enumerate(texts) if not text.isascii())]  # 0 ends a text
    found = continued(tmp_path / "model.gguf", "some more text", 40, banned)
    assert len(found) == 40
    ids = tokenizer("some more text")["input_ids"]
    for row in found:
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0, -1]  # (vocab,)
        expected = float(logits.log_softmax(-1)[row["id"]])
        assert row["logprob"] == pytest.approx(expected, abs=5e-3)
        logits[banned] = -torch.inf
        assert row["id"] == int(logits.argmax())
        ids.append(row["id"])
