"""Identifies a base by the hash of its weights, and finds what a model has beyond that base."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from transformers import PreTrainedModel

from infinito.errors import CheckpointError

State = dict[str, Tensor]


def base_record(config: dict[str, Any]) -> dict[str, str] | None:
    """Return a config's record of the base whose weights its checkpoint leaves out, or None."""
    return (config.get("causal_lm") or config).get("base_model")


def rests_on_base(model: PreTrainedModel) -> bool:
    """Return whether checkpoints leave out a model's frozen weights, those of its base."""
    return getattr(model.config, "base_model", None) is not None


def additions(model: PreTrainedModel, state: Mapping[str, Tensor], prefix: str = "") -> State:
    """Return the tensors of a state that are not frozen weights of the base.

    Args:
        state: tensors by name.
        prefix: what precedes the model's own names in the state.
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
        if own is not None and own["path"] == other["path"] and "revision" not in other:
            raise CheckpointError(
                f"the base weights in {other['path']} have changed since these adapters were "
                f"trained: SHA-256 {other['weights_sha256'][:12]} then, "
                f"{own['weights_sha256'][:12]} now. Put the old ones back"
            )
        at = f" model.revision={other['revision']}" if "revision" in other else ""
        here = "none" if own is None else f"{own['path']} ({own['weights_sha256'][:12]})"
        raise CheckpointError(
            f"these are adapters of another base model: they belong to {other['path']} (weights "
            f"{other['weights_sha256'][:12]}), and the base here is {here}. "
            f"Use `model=pretrained model.path={other['path']}{at}`"
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
