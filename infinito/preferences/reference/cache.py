"""Caches a reference's log-probabilities, so that runs with the same reference compute them once.

A file holds the pairs of one reference. Its name is a hash of the weights, configuration, number
type, precision of products, attention and version. Each pair is found by its token ids, so that
only pairs that were added or cut differently are computed.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save
from torch import Tensor, nn

from infinito.models.pretrained.lora import has_adapters
from infinito.preferences.scoring.layout_probe import Layout
from infinito.preferences.scoring.layouts import Pair
from infinito.preferences.scoring.log_prob_table import tabulate_log_probs
from infinito.storage import locked, written_whole

VERSION = 1
"""Version of how log-probabilities are computed; another version starts with an empty cache."""

_UNRELATED = (
    *("_name_or_path", "transformers_version", "use_cache", "architectures"),
    *("base_model", "lora"),  # the name of the base model, and what is added to it
)
"""Keys of a configuration that do not change what a model computes."""

log = logging.getLogger(__name__)

Known = dict[bytes, tuple[float, float]]
"""Log-probabilities of the chosen and the rejected answer, by the digest of a pair."""


@dataclass(frozen=True)
class ReferenceTable:
    """A reference's log-probabilities of pairs."""

    log_probs: Tensor
    """(pairs, 2) float64: of the chosen and the rejected answer, in nats."""
    computed: int
    """Pairs that were not in the cache."""


class ReferenceCache:
    """A folder of references' log-probabilities that several processes may use at once.

    A file is locked while its pairs are computed: a second process waits and reads them.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser() / "references"

    def look_up(
        self, model: nn.Module, pairs: Sequence[Pair], layout: Layout, adapters: bool = False
    ) -> ReferenceTable:
        """Return a model's log-probabilities of pairs, computing those that are not cached.

        Args:
            model: The reference.
            pairs: Any number.
            layout: One that suits the model.
            adapters: Leave the model's adapters on, if it has any.

        Raises:
            SaveError: the cache cannot be written.
        """
        target = self.folder / f"{hash_reference(model, adapters)}.safetensors"
        digests = [hash_pair(pair) for pair in pairs]
        with locked(target):
            known = _read(target)
            missing = {d: pair for d, pair in zip(digests, pairs, strict=True) if d not in known}
            if missing:
                table = tabulate_log_probs(model, list(missing.values()), layout, adapters=adapters)
                known |= zip(missing, map(tuple, table.tolist()), strict=True)
                _write(target, known)
        found = torch.tensor([known[digest] for digest in digests], dtype=torch.float64)
        return ReferenceTable(found.view(-1, 2), len(missing))


def hash_pair(pair: Pair) -> bytes:
    """Return the SHA-256 of the pair's token ids."""
    parts = (pair.prompt_ids, pair.chosen_ids, pair.rejected_ids)
    return hashlib.sha256(json.dumps([list(part) for part in parts]).encode()).digest()


def hash_reference(model: nn.Module, adapters: bool = False) -> str:
    """Return a hex digest of all that a reference's log-probabilities depend on except the pairs.

    Args:
        model: The reference.
        adapters: Leave its adapters on, if it has any.
    """
    adapters = adapters and has_adapters(model)
    unrelated = {*_UNRELATED} - ({"lora"} if adapters else set())
    digest = hashlib.sha256()
    config = model.config.to_dict()  # type: ignore[union-attr, operator]
    about = {
        "version": VERSION,
        "attention": model.config._attn_implementation,  # type: ignore[union-attr]
        "config": {name: value for name, value in config.items() if name not in unrelated},
    }
    precision = torch.get_float32_matmul_precision()
    if precision != "highest":
        about["matmul_precision"] = precision
    digest.update(json.dumps(about, sort_keys=True, default=str).encode())
    weights = model.state_dict() if adapters else _own_weights(model)
    for name, value in sorted(weights.items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:32]


def _own_weights(model: nn.Module) -> dict[str, Tensor]:
    """Return the weights without adapters, under the names that they have in the base model."""
    if not has_adapters(model):
        return dict(model.state_dict())
    whole: Any = model
    weights = (whole.get_base_model() if hasattr(model, "get_base_model") else whole).state_dict()
    return {
        name.replace(".base_layer.", "."): value
        for name, value in weights.items()
        if ".lora_" not in name
    }


def _write(target: Path, known: Known) -> None:
    pairs = np.frombuffer(b"".join(known), dtype=np.uint8).reshape(-1, 32)
    log_probs = np.array(list(known.values()), dtype=np.float64)
    about = {"sha256": _checksum(pairs, log_probs)}
    with written_whole(target) as file:
        file.write(save({"pairs": pairs, "log_probs": log_probs}, metadata=about))


def _read(target: Path) -> Known:
    """Return what a file holds; nothing if it is absent or, with a warning, damaged."""
    if not target.exists():
        return {}
    try:
        with safe_open(target, "np") as file:
            pairs, log_probs = file.get_tensor("pairs"), file.get_tensor("log_probs")
            if (file.metadata() or {}).get("sha256") == _checksum(pairs, log_probs):
                return {row.tobytes(): (a, b) for row, (a, b) in zip(pairs, log_probs, strict=True)}
    except (SafetensorError, ValueError, OSError):
        pass
    log.warning("%s is damaged: the reference's log-probabilities are computed again", target)
    return {}


def _checksum(pairs: np.ndarray, log_probs: np.ndarray) -> str:
    return hashlib.sha256(pairs.tobytes() + log_probs.tobytes()).hexdigest()
