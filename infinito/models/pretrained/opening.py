"""Opens any Hugging Face causal LM from a folder, and repeats on it what a run had added.

A base's config records what was added to it (attention, adapters) under `base_model`,
`distance_attention` and `lora`, so that a checkpoint can hold the additions alone.
"""

from __future__ import annotations

from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

from infinito.errors import CheckpointError, ConfigError
from infinito.models.memory.model import MemoryLMConfig, MemoryLMForCausalLM
from infinito.models.pretrained.base_weights import check_same_base, hash_of_weights, saved_tensors
from infinito.models.pretrained.foreign_code import check_folder
from infinito.models.pretrained.generation_config import read_generation_config
from infinito.models.pretrained.lora import (
    LoraSettings,
    add_lora,
    inside_memory,
    train_own_parameters,
)
from infinito.models.pretrained.replaced_attention import AttentionSettings, use_distance_attention


def open_base(
    folder: Path, dtype: str = "float32", name: str | None = None, revision: str | None = None
) -> PreTrainedModel:
    """Open a causal LM to add something to; its config records path and weights in `base_model`.

    Args:
        folder: with config.json and safetensors.
        dtype: of its weights, e.g. "bfloat16".
        name: its id on the hub, to be recorded; the folder if None.
        revision: its commit there, to be recorded.

    Raises:
        CheckpointError: as `open_weights`, or weights are NaN or infinite.
    """
    model = open_to_train(folder, dtype)
    model.config.base_model = {
        "path": name or str(folder.absolute()),
        "weights_sha256": hash_of_weights(folder),
        "dtype": dtype,
        **({"revision": revision} if name is not None and revision is not None else {}),
    }
    return model


def open_to_train(folder: Path, dtype: str) -> PreTrainedModel:
    """Open a causal LM in training mode.

    Raises:
        CheckpointError: as `open_weights`, or weights are NaN or infinite.
    """
    model = open_weights(folder, dtype)
    check_finite(model, folder)
    vars(model.config).pop("base_model", None)  # another run's, in which this was a base
    model.train()
    return model


def open_weights(folder: Path, dtype: str = "auto") -> PreTrainedModel:
    """Open a causal LM as it was saved, its distance attention included.

    Args:
        folder: with config.json and safetensors.
        dtype: of its weights; "auto" for that of the files.

    Raises:
        CheckpointError: files are missing or damaged, it is no causal LM, it holds an adapter as
            well, or it asks for code that is not transformers' own.
    """
    next(saved_tensors(folder), None)
    check_folder(folder)
    model: PreTrainedModel
    found: dict[str, Any]
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # a missing weight raises below; transformers would print it
    try:
        model, found = AutoModelForCausalLM.from_pretrained(  # type: ignore[misc]
            folder,
            generation_config=read_generation_config(folder),
            dtype=getattr(torch, dtype, dtype),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:  # each architecture has its own ways to fail
        raise CheckpointError(
            f"{folder} cannot be opened as a Hugging Face causal LM: {first_line(error)}"
        ) from None
    finally:
        logging.set_verbosity(verbosity)
    _check_class(model, folder, sorted(found["missing_keys"]))
    add_saved_attention(model, folder)
    return model


@torch.no_grad()
def check_finite(model: PreTrainedModel, source: Path) -> None:
    """Check that every weight is a finite number: one that is not makes every result NaN.

    Raises:
        CheckpointError: naming the tensors that are not.
    """
    faults = []
    for name, tensor in chain(model.named_parameters(), model.named_buffers()):
        if not tensor.is_floating_point() or not tensor.numel():
            continue
        low, high = tensor.aminmax()  # one pass, no copy; NaN passes through
        if not (low.isfinite() and high.isfinite()):
            count = int((~tensor.isfinite()).sum())
            faults.append(f"{name} ({count} of {tensor.numel()} numbers)")
    if faults:
        more = f" and {len(faults) - 3} more tensors" if len(faults) > 3 else ""
        raise CheckpointError(
            f"{source} has weights that are NaN or infinite: {', '.join(faults[:3])}{more}. "
            "Use a checkpoint of an earlier step"
        )


def add_saved_attention(model: PreTrainedModel, folder: Path) -> None:
    """Give a model the distance attention that its config asks for, and its learned λ."""
    use_saved_attention(model)
    own = {key: each for key, each in model.named_parameters() if "distance_scale" in key}
    with torch.no_grad():
        for key, tensor in saved_tensors(folder) if own else ():
            if key in own:
                own[key].copy_(tensor)


def use_saved_attention(model: PreTrainedModel) -> None:
    """Give a model the distance attention that its config asks for; learned λ start anew."""
    model = inside_memory(model)
    if settings := getattr(model.config, "distance_attention", None):
        use_distance_attention(model, AttentionSettings(**settings))


def rebuild(model: PreTrainedModel, config: dict[str, Any]) -> PreTrainedModel:
    """Add to a fresh base what a checkpoint's config says was added to it.

    Raises:
        CheckpointError: the config describes another base.
    """
    if inner := config.get("causal_lm"):
        outer = {**config, "causal_lm": rebuild(model, inner).config}
        return MemoryLMForCausalLM(MemoryLMConfig(**outer), model)
    check_same_base(model, config["base_model"])
    model.requires_grad_(False)
    model.config.distance_attention = config.get("distance_attention")
    use_saved_attention(model)
    if settings := config.get("lora"):
        targets = tuple(settings["target_modules"])
        add_lora(model, LoraSettings(**{**settings, "target_modules": targets}))
    train_own_parameters(model)
    if calibration := config.get("phi_calibration"):
        model.config.phi_calibration = calibration
    return model


def check_vocabulary(model: PreTrainedModel, tokens: int) -> None:
    """Check that a model knows every token.

    Args:
        tokens: the highest id plus one.

    Raises:
        ConfigError: it knows fewer.
    """
    known = int(model.get_input_embeddings().num_embeddings)  # type: ignore[arg-type]
    if tokens > known:
        raise ConfigError(
            f"the tokenizer has {tokens} tokens, but {type(model).__name__} knows {known}: take "
            "the model's own, `tokenizer=own`"
        )


def check_length(model: PreTrainedModel, tokens: int, key: str = "data.block_size") -> None:
    """Check that a model has learned positions for inputs of so many tokens.

    Raises:
        ConfigError: it has fewer.
    """
    longest = learned_positions(model)
    if longest is not None and tokens > longest:
        raise ConfigError(
            f"`{key}`={tokens} is longer than the {longest} positions that {type(model).__name__} "
            f"has learned. Use `{key}={longest}`"
        )


def learned_positions(model: PreTrainedModel) -> int | None:
    """Return how many positions a model has learned; None where they are computed."""
    longest = getattr(model.config, "max_position_embeddings", None)
    tables = [each for each in model.modules() if isinstance(each, nn.Embedding)]
    others = [each for each in tables if each is not model.get_input_embeddings()]
    return longest if any(each.num_embeddings >= (longest or 0) for each in others) else None


def _check_class(model: PreTrainedModel, folder: Path, missing: list[str]) -> None:
    """Refuse weights of another class, parts of which transformers would draw at random."""
    saved = getattr(model.config, "architectures", None) or [type(model).__name__]
    fitting = {type(model).__name__, type(model.base_model).__name__}
    own = [name for name in missing if "distance_scale" not in name]
    if own or not fitting & set(saved):
        lacks = f", which lacks {', '.join(own[:3])}" if own else ""
        raise CheckpointError(
            f"{folder} holds a {saved[0]}{lacks}: expected the causal LM {type(model).__name__}"
        )


def first_line(error: Exception) -> str:
    """Return the first line of an error's message, or its class where it has none."""
    return (str(error).splitlines() or [type(error).__name__])[0]
