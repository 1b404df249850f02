"""What is written as GGUF is read back, by the gguf package and by transformers, as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.data.tokenizers.char import CharTokenizer
from infinito.errors import ConfigError
from infinito.models.gguf.weights import check_gguf, side_by_side, write_gguf
from infinito.models.pretrained.replaced_attention import AttentionSettings, use_distance_attention

gguf = pytest.importorskip("gguf", reason="the gguf extra is not installed")

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
}


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return BpeTokenizer(270).build(
        ["some text, some more text, and a word"] * 9, separates_documents=True
    )


def made(family: str) -> PreTrainedModel:
    torch.manual_seed(0)
    common: dict[str, Any] = {"vocab_size": 270, "eos_token_id": 0, "bos_token_id": 0}
    model: PreTrainedModel
    if family == "gpt2":
        # transformers reads every GPT-2 with 1024 positions and the published end of text
        model = GPT2LMHeadModel(
            GPT2Config(n_embd=32, n_layer=2, n_head=4, n_positions=1024, **common)
        )
    elif family == "qwen2":
        model = Qwen2ForCausalLM(Qwen2Config(tie_word_embeddings=True, **SIZES, **common))
    else:
        model = LlamaForCausalLM(LlamaConfig(tie_word_embeddings=False, **SIZES, **common))
    for each in model.parameters():  # biases and norms too, which start as 0 and 1
        torch.nn.init.normal_(each, std=0.3)
    return model.eval()


@pytest.mark.parametrize("family", ["llama", "qwen2", "gpt2"])
def test_read_back_by_transformers_it_says_the_same(
    family: str, tokenizer: PreTrainedTokenizerFast, tmp_path: Path
) -> None:
    model = made(family)
    write_gguf(model, tokenizer, tmp_path / "model.gguf")
    again = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf").eval()
    ids = torch.randint(0, 270, (2, 20))
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits, model(ids).logits, rtol=1e-5, atol=1e-5)


def test_the_tokenizer_is_read_back(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    write_gguf(made("qwen2"), tokenizer, tmp_path / "model.gguf")
    again = AutoTokenizer.from_pretrained(tmp_path, gguf_file="model.gguf")
    text = "some text, and more: é!"
    assert again(text)["input_ids"] == tokenizer(text)["input_ids"]
    fields = gguf.GGUFReader(tmp_path / "model.gguf").fields
    assert fields["tokenizer.ggml.eos_token_id"].contents() == 0
    assert fields["tokenizer.ggml.pre"].contents() == "gpt-2"


def test_a_real_model_with_byte_fallback(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "stories260k/hf"
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    real = AutoTokenizer.from_pretrained(folder)
    assert isinstance(real, PreTrainedTokenizerFast)
    write_gguf(model, real, tmp_path / "model.gguf")
    again = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="model.gguf").eval()
    ids = real("Once upon a time", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        torch.testing.assert_close(again(ids).logits, model(ids).logits, rtol=1e-5, atol=1e-5)
    fields = gguf.GGUFReader(tmp_path / "model.gguf").fields
    tokens = fields["tokenizer.ggml.tokens"].contents()
    assert tokens == real.convert_ids_to_tokens(list(range(512)))
    scores = dict(zip(tokens, fields["tokenizer.ggml.scores"].contents(), strict=True))
    assert scores["▁t"] > scores["he"] > scores["▁a"] > scores["t"]
    assert fields["tokenizer.ggml.add_bos_token"].contents() is True


def test_rotary_partners_become_neighbours() -> None:
    """One head of 4: rows 0 1 | 2 3 turn 0 with 2 and 1 with 3, GGUF wants 0 2 1 3."""
    rows = torch.arange(4.0)[:, None]
    assert side_by_side(rows, heads=1).flatten().tolist() == [0, 2, 1, 3]


def test_what_has_no_form_in_gguf(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    letters = CharTokenizer().build(["abc"], separates_documents=True)
    with pytest.raises(ConfigError, match="its model is WordLevel"):
        write_gguf(made("llama"), letters, tmp_path / "a.gguf")
    model = made("llama")
    model.config.model_type = "mamba"  # type: ignore[misc]
    with pytest.raises(ConfigError, match="written for llama, qwen2, gpt2, not for mamba"):
        write_gguf(model, tokenizer, tmp_path / "a.gguf")
    assert not list(tmp_path.glob("*.gguf*"))


@pytest.mark.parametrize(
    ("family", "setting", "value"),
    [
        ("llama", "hidden_act", "gelu"),
        ("qwen2", "use_sliding_window", True),
        ("gpt2", "activation_function", "relu"),
        ("gpt2", "scale_attn_by_inverse_layer_idx", True),
    ],
)
def test_settings_that_gguf_cannot_say(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, family: str, setting: str, value: object
) -> None:
    model = made(family)
    setattr(model.config, setting, value)
    with pytest.raises(ConfigError, match=f"no place for `{setting}`={value} in a {family}"):
        write_gguf(model, tokenizer, tmp_path / "a.gguf")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (AttentionSettings("l1"), "`attention`=l1 in a llama"),
        (AttentionSettings("dot", scale=2.0), "`attention`=dot with another λ in a llama"),
        (AttentionSettings("dot", learned_scale=True), "`attention`=dot with another λ"),
    ],
)
def test_a_distance_has_no_form_in_gguf(
    tokenizer: PreTrainedTokenizerFast, tmp_path: Path, settings: AttentionSettings, said: str
) -> None:
    model = made("llama")
    use_distance_attention(model, AttentionSettings("dot"))
    check_gguf(model, tokenizer)
    use_distance_attention(model, settings)
    with pytest.raises(ConfigError, match=f"no place for {said}"):
        write_gguf(model, tokenizer, tmp_path / "a.gguf")
