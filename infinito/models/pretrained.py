"""Opens the weights of any Hugging Face causal LM from a folder, and tells one base from another.

What is added to a base (attention, adapters) stands in its config under `base_model`,
`distance_attention` and `lora`, so that a checkpoint can hold the additions alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, PreTrainedModel
from transformers.utils import logging

from infinito.errors import CheckpointError, ConfigError
from infinito.models.attention_interface import AttentionSettings, use_distance_attention
from infinito.models.lora import LoraSettings, add_lora, inside_memory, train_own_parameters
from infinito.models.memory_lm import MemoryLMConfig, MemoryLMForCausalLM

State = dict[str, Tensor]


def open_base(folder: Path, dtype: str = "float32", name: str | None = None) -> PreTrainedModel:
    """Open a causal LM to build on, in training mode; its config records it under `base_model`.

    Args:
        folder: with config.json and safetensors.
        dtype: of its weights, e.g. "bfloat16".
        name: what the user called it, for the record; the folder if None.

    Raises:
        CheckpointError: as `open_weights`.
    """
    model = open_weights(folder, dtype)
    model.config.base_model = {
        "path": name or str(folder.absolute()),
        "weights_sha256": hash_of_weights(folder),
        "dtype": dtype,
    }
    return model.train()


def open_weights(folder: Path, dtype: str = "auto") -> PreTrainedModel:
    """Open a causal LM as it was saved, its distance attention included.

    Args:
        folder: with config.json and safetensors.
        dtype: of its weights; "auto" for that of the files.

    Raises:
        CheckpointError: files are missing or damaged, or it is no causal LM.
    """
    next(saved_tensors(folder), None)
    model: PreTrainedModel
    found: dict[str, Any]
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # what is missing is an error here, not a report
    try:
        model, found = AutoModelForCausalLM.from_pretrained(  # type: ignore[misc]
            folder,
            dtype=getattr(torch, dtype, dtype),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
        )
    except Exception as error:  # each architecture has its own ways to fail
        raise CheckpointError(
            f"{folder} cannot be opened as a Hugging Face causal LM: {_first_line(error)}"
        ) from None
    finally:
        logging.set_verbosity(verbosity)
    _check_class(model, folder, sorted(found["missing_keys"]))
    add_saved_attention(model, folder)
    return model


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


def base_record(config: dict[str, Any]) -> dict[str, str] | None:
    """Return what the config of a checkpoint tells of a base whose weights it leaves out."""
    return (config.get("causal_lm") or config).get("base_model")


def rebuild(model: PreTrainedModel, config: dict[str, Any]) -> PreTrainedModel:
    """Repeat on a fresh base what was added to the one that a checkpoint's config describes.

    Raises:
        CheckpointError: that was another base.
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


def rests_on_base(model: PreTrainedModel) -> bool:
    """Return whether a model has frozen weights of a base, which checkpoints leave out."""
    return getattr(model.config, "base_model", None) is not None


def additions(model: PreTrainedModel, state: Mapping[str, Tensor], prefix: str = "") -> State:
    """Return what a state holds beyond the frozen weights of a base that can be opened again.

    Args:
        state: tensors by name. prefix: stands before the model's own names there.
    """
    if not rests_on_base(model):
        return dict(state)
    every = model.named_parameters(remove_duplicate=False)
    frozen = {prefix + name for name, each in every if not each.requires_grad}
    return {name: tensor for name, tensor in state.items() if name not in frozen}


def check_same_base(model: PreTrainedModel, other: dict[str, str] | None) -> None:
    """Check that a model's base has the weights that adapters were trained on.

    Raises:
        CheckpointError: they are adapters of another base model, or no adapters at all.
    """
    own = getattr(model.config, "base_model", None)
    if other is None:
        raise CheckpointError("expected adapters, received a checkpoint of whole weights")
    if own is None or own["weights_sha256"] != other["weights_sha256"]:
        here = "none" if own is None else f"{own['path']} ({own['weights_sha256'][:12]})"
        raise CheckpointError(
            f"these are adapters of another base model: they belong to {other['path']} (weights "
            f"{other['weights_sha256'][:12]}), and the base here is {here}. "
            f"Use `model=pretrained model.path={other['path']}`"
        )


def hash_of_weights(folder: Path) -> str:
    """Return the SHA-256 of all weights, whatever files they are spread over."""
    digest = hashlib.sha256()
    for name, tensor in saved_tensors(folder):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def saved_tensors(folder: Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the weights of a Hugging Face folder by name, in the order of their names.

    Raises:
        CheckpointError: there are none as safetensors, or a file is damaged.
    """
    index = folder / "model.safetensors.index.json"
    try:
        if index.is_file():
            files = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        else:
            with safe_open(folder / "model.safetensors", "pt") as file:
                files = dict.fromkeys(file.keys(), "model.safetensors")
        for name in sorted(files):
            with safe_open(folder / files[name], "pt") as file:
                yield name, file.get_tensor(name)
    except FileNotFoundError:
        pickled = any(folder.glob("*.bin"))
        more = " Its .bin files could run code and are never read: convert them." * pickled
        raise CheckpointError(
            f"{folder} holds no causal LM: expected config.json and model.safetensors.{more}"
        ) from None
    except Exception as error:  # safetensors' own class differs between versions
        raise CheckpointError(f"the weights in {folder} cannot be read: {error}") from None


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
    """Refuse weights of another task, of which parts would be drawn anew."""
    saved = getattr(model.config, "architectures", None) or [type(model).__name__]
    fitting = {type(model).__name__, type(model.base_model).__name__}
    own = [name for name in missing if "distance_scale" not in name]
    if own or not fitting & set(saved):
        lacks = f", which lacks {', '.join(own[:3])}" if own else ""
        raise CheckpointError(
            f"{folder} holds a {saved[0]}{lacks}: expected the causal LM {type(model).__name__}"
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
