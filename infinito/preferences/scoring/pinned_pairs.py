"""What a preference tuning records of its pairs, and the pairs of a run read again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from infinito.errors import CheckpointError
from infinito.preferences.pairs.pair_set import PairSet
from infinito.preferences.reference.cache import hash_pair
from infinito.run_folder.pins import Input, check_inputs

PLACES = ("path", "held_out_path", "subset", "held_out_subset")
"""Keys of `data` that say where pairs lie."""


def pair_inputs(name: str, pairs: PairSet) -> Iterator[Input]:
    """Yield the pairs as text, and as the token ids that template and tokenizer make of them.

    Args:
        name: "training" or "held-out".
        pairs: The set.
    """
    rows = [
        (each.prompt, each.chosen, each.rejected, each.weight, each.tools) for each in pairs.texts
    ]
    texts = hashlib.sha256(json.dumps(rows, sort_keys=True, default=str).encode()).hexdigest()
    yield Input(f"{name} pairs", pairs.source, texts)
    ids = f"token ids of the {name} pairs, which chat template and tokenizer make"
    yield Input(ids, pairs.source, hash_pairs(pairs))


def hash_pairs(pairs: PairSet) -> str:
    """Return the SHA-256 of all pairs' token ids."""
    return hashlib.sha256(b"".join(map(hash_pair, pairs.pairs))).hexdigest()


def check_pairs(record: Mapping[str, Any] | None, data: Mapping[str, Any], pairs: PairSet) -> None:
    """Check pairs that a task reads with a tuned model, where they are pairs of its run.

    Args:
        record: Of the run that tuned the model; None where it recorded nothing.
        data: Values of the `data` section now, paths absolute.
        pairs: The pairs of `data.path` now.

    Raises:
        CheckpointError: they are no longer what the run read.
    """
    name = None if record is None else _recorded_name(record["config"]["data"], data)
    if record is None or name is None:
        return
    way_out = (
        "Put the old pairs back. To score the new ones, give their file another name and say so: "
        "`data.path=<file>`."
    )
    check_inputs(record, pair_inputs(name, pairs), way_out, CheckpointError)


def _recorded_name(then: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Return under which name a run read the same pairs in the same way, if it did."""
    differing = {key for key in {*then, *now} if then.get(key) != now.get(key)}
    if differing - {*PLACES, "batch_size", "eval_batch_size", "workers", "cache_dir"}:
        return None
    if now.get("path") is None:  # without a path, those that ship and are held out are scored
        return "held-out" if then.get("path") is None else None
    read = now.get("path"), now.get("subset")
    if read == (then.get("held_out_path"), then.get("held_out_subset")):
        return "held-out"
    is_whole = then.get("held_out_path") is not None
    return "training" if is_whole and read == (then.get("path"), then.get("subset")) else None
