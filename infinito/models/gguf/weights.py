"""Writes Llama, Qwen2 and GPT-2 models as GGUF, the format of llama.cpp, through its own package.

Layouts follow llama.cpp's converter: GGUF wants Llama's rotary pairs side by side and GPT-2's
Conv1D weights transposed. Weights are written in float32; llama.cpp's tools quantise.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from infinito.errors import ConfigError
from infinito.extras import require_extra
from infinito.models.gguf.tokenizer import add_tokenizer

FAMILIES = ("llama", "qwen2", "gpt2")

_IMPLIED: dict[str, dict[str, tuple[Any, ...]]] = {
    "llama": {"hidden_act": ("silu",)},
    "qwen2": {"hidden_act": ("silu",), "use_sliding_window": (False,)},
    "gpt2": {
        "activation_function": ("gelu_new", "gelu_pytorch_tanh"),
        "scale_attn_weights": (True,),
        "scale_attn_by_inverse_layer_idx": (False,),
    },
}
"""Settings that a family's name implies in GGUF, which has no field for other values."""

_TRANSPOSED = re.compile(r"\.(c_attn|c_proj|c_fc)\.weight$")
_ROTATED = re.compile(r"\.self_attn\.(?P<part>[qk])_proj\.")
_NO_WEIGHT = re.compile(r"\.attn\.(masked_)?bias$")


def check_gguf(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast) -> None:
    """Check that a model and its tokenizer can be written, which takes a training to try.

    Raises:
        ConfigError: see `write_gguf`.
    """
    _opened(model, tokenizer, None)


def write_gguf(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, path: Path) -> None:
    """Write a model with its tokenizer, whole or not at all.

    Raises:
        ConfigError: the `gguf` package is missing, the model is of no supported family or has
            settings that GGUF cannot say, or its tokenizer has no form in GGUF.
    """
    partial = path.with_name(f"{path.name}.partial")
    writer = _opened(model, tokenizer, partial)
    try:
        for name, values in tensors(model):
            writer.add_tensor(name, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    except BaseException:
        writer.close()
        partial.unlink(missing_ok=True)
        raise
    writer.close()
    partial.replace(path)


def _opened(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, path: Path | None) -> Any:
    """Return a `gguf.GGUFWriter` with everything but the weights; nothing is on disk yet."""
    require_extra("gguf")
    import gguf

    family = model.config.model_type
    if family not in FAMILIES:
        raise ConfigError(
            f"GGUF is written for {', '.join(FAMILIES)}, not for {family}: leave gguf out of "
            "`dpo.export`, e.g. `dpo.export=[model]`"
        )
    if said := _unsayable(model.config):
        raise ConfigError(
            f"GGUF has no place for {', '.join(said)} in a {family}: leave gguf out of "
            "`dpo.export`, e.g. `dpo.export=[model]`"
        )
    writer = gguf.GGUFWriter(path, family)
    add_settings(writer, model.config)
    add_tokenizer(writer, tokenizer, vocab=model.get_input_embeddings().num_embeddings)  # type: ignore[arg-type]
    return writer


def _unsayable(config: Any) -> list[str]:
    text = config.get_text_config()
    said = [
        f"`{name}`={getattr(text, name)}"
        for name, implied in _IMPLIED[config.model_type].items()
        if getattr(text, name) not in implied
    ]
    distance = getattr(config, "distance_attention", None) or {"metric": "dot"}
    scaled = distance.get("scale", 1.0) != 1 or distance.get("learned_scale", False)
    if distance["metric"] != "dot" or scaled:
        said.append(f"`attention`={distance['metric']}" + " with another λ" * scaled)
    return said


def add_settings(writer: Any, config: Any) -> None:
    """Add the sizes and constants that llama.cpp reads."""
    text = config.get_text_config()
    writer.add_context_length(text.max_position_embeddings)
    writer.add_embedding_length(text.hidden_size)
    writer.add_block_count(text.num_hidden_layers)
    writer.add_head_count(text.num_attention_heads)
    writer.add_file_type(0)  # all float32
    if text.model_type == "gpt2":
        writer.add_feed_forward_length(text.n_inner or 4 * text.hidden_size)
        writer.add_layer_norm_eps(text.layer_norm_epsilon)
        return
    rope = text.rope_parameters
    if rope["rope_type"] != "default":
        raise ConfigError(
            f"GGUF export knows plain rotary positions, not `rope_type`={rope['rope_type']}: "
            "leave gguf out of `dpo.export`"
        )
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    writer.add_feed_forward_length(text.intermediate_size)
    writer.add_head_count_kv(text.num_key_value_heads)
    writer.add_layer_norm_rms_eps(text.rms_norm_eps)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(head)
    writer.add_key_length(head)
    writer.add_value_length(head)
    writer.add_vocab_size(text.vocab_size)


def tensors(model: PreTrainedModel) -> Iterator[tuple[str, np.ndarray]]:
    """Yield the model's weights by their GGUF names, float32, in GGUF's layout."""
    import gguf

    config = model.config.get_text_config()
    architecture = {
        "llama": gguf.MODEL_ARCH.LLAMA,
        "qwen2": gguf.MODEL_ARCH.QWEN2,
        "gpt2": gguf.MODEL_ARCH.GPT2,
    }[config.model_type]
    names = gguf.get_tensor_name_map(architecture, config.num_hidden_layers)
    head = model.get_output_embeddings()
    tied = head is not None and head.weight is model.get_input_embeddings().weight
    for name, weight in model.state_dict().items():
        if _NO_WEIGHT.search(name) or (tied and name == "lm_head.weight"):
            continue
        found = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert found is not None, f"{name} has no name in GGUF"
        yield found, in_layout(name, weight, config).numpy()


def in_layout(name: str, weight: torch.Tensor, config: Any) -> torch.Tensor:
    """Return a weight in GGUF's layout, float32."""
    weight = weight.detach().cpu().float()
    if config.model_type == "gpt2" and _TRANSPOSED.search(name):
        return weight.T.contiguous()
    rotated = _ROTATED.search(name)
    if config.model_type == "llama" and rotated:
        heads = config.num_attention_heads if rotated["part"] == "q" else config.num_key_value_heads
        return side_by_side(weight, heads)
    return weight.contiguous()


def side_by_side(weight: torch.Tensor, heads: int) -> torch.Tensor:
    """Return rows of rotary projections (heads · dim, …), partners dim/2 apart made neighbours."""
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, *weight.shape[1:])
    # (heads, 2, dim/2, …)
    return halves.transpose(1, 2).reshape(weight.shape).contiguous()
