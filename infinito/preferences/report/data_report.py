"""Inspects the pairs that a configuration names: their text first, then, if there is a tokenizer,
their token ids.
"""

from __future__ import annotations

from typing import Any

from transformers import PreTrainedTokenizerFast

from infinito.config import RunConf
from infinito.data.conversations.rows.faults import unify_block_size
from infinito.errors import ConfigError, DataError
from infinito.models.trained import open_trained
from infinito.preferences.assembly import (
    build_pair_tokenizer,
    build_tokenizer,
    read_pair_texts,
    render_texts,
    require_pairs,
)
from infinito.preferences.pairs.checking import find_overlap, inspect_pairs, inspect_texts
from infinito.preferences.pairs.pair_set import (
    PairSet,
    TextPairs,
    find_block_size,
    read_pairs,
    split_by_prompt,
    tokenize_pairs,
)


def inspect_data(conf: RunConf) -> dict[str, Any]:
    """Return the findings of training and held-out pairs, and what the two share.

    A tokenizer that cannot be trained on the pairs costs the findings in tokens and no others.
    """
    texts, notes = read_texts(conf)
    report: dict[str, Any] = {"window": conf.data.block_size, "tokens": None}
    names = ("training", "held_out")
    try:
        tokenizer = _find_tokenizer(conf, texts[0])
        encode = build_pair_tokenizer(conf, tokenizer)
        sets = [tokenize_pairs(each, encode) for each in texts]
    except (ConfigError, DataError) as error:
        if not _trains_tokenizer(conf):
            raise
        written = [render_texts(conf, each)[0] for each in texts]
        fault = error.faults[0] if isinstance(error, ConfigError) else str(error)
        if any(each.pairs for each in written):
            notes.append(f"nothing was counted in tokens: {fault}")
        found = [inspect_texts(each) for each in written]
        kept = [each.pairs for each in written]
    else:
        report["tokens"] = len(tokenizer)
        sets = _unify_block_sizes(sets)
        found = [inspect_pairs(each, encode) for each in sets]
        kept = [each.texts for each in sets]
        if block_size := find_block_size(*sets):
            notes.append(f"`data.block_size={block_size}` holds every row of both sets")
    return {
        **dict(zip(names, found, strict=True)),
        "overlap": find_overlap(*kept),
        **report,
        "notes": notes,
    }


def read_texts(conf: RunConf) -> tuple[tuple[TextPairs, TextPairs], list[str]]:
    """Return training and held-out pairs; all are training pairs where they cannot be split.

    Returns:
        The two sets, and a note if they could not be split.
    """
    data = require_pairs(conf)
    if data.path is None or data.held_out_path is not None:
        return read_pair_texts(conf), []
    whole = read_pairs(data.path, data.subset, data.max_rows, data.revision)
    notes = []
    if whole.pairs:
        try:
            return split_by_prompt(whole, data.held_out_fraction), []
        except DataError as error:
            notes.append(str(error))
    return (whole, TextPairs(f"{whole.source}, held-out part", [], [])), notes


def list_findings(found: dict[str, Any]) -> dict[str, Any]:
    """Return the findings of one set as lines of a table."""
    kinds = found["bad_rows"]["by_kind"]
    table = {
        "source": found["source"],
        "rows": found["rows"],
        "usable pairs": found["pairs"],
        "bad rows": ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or 0,
        "duplicates": found["duplicates"]["count"],
        "flipped": found["flipped"]["count"],
    }
    if found["boundary_merges"] is not None:
        table["merges at the boundary"] = found["boundary_merges"]["count"]
    if found["lengths"] is not None:
        return table | _list_lengths(found["lengths"], "tokens")
    if found["characters"] is not None:
        return table | _list_lengths(found["characters"], "characters")
    return table


def _list_lengths(lengths: dict[str, Any], unit: str) -> dict[str, Any]:
    table = {}
    for side in ("prompt", "chosen", "rejected"):
        counts = lengths[f"{side}_tokens" if unit == "tokens" else side]
        table[f"{side} {unit}"] = (
            f"{counts['min']:g} to {counts['max']:g}, mean {counts['mean']:.1f}"
        )
    if unit == "tokens":
        table["longest prompt and answer"] = lengths["longest_sequence_tokens"]
        ratios = f"{lengths['mean_token_ratio']:.2f} in tokens, "
        ratios += f"{lengths['mean_character_ratio']:.2f} in characters"
    else:
        ratios = f"{lengths['mean_ratio']:.2f} in characters"
    return table | {
        "longer wins": f"{lengths['longer_wins']:.2f} of pairs",
        "shorter wins": f"{lengths['shorter_wins']:.2f} of pairs",
        "chosen over rejected": ratios,
    }


def _trains_tokenizer(conf: RunConf) -> bool:
    return conf.checkpoint is None and conf.tokenizer.name != "pretrained"


def _find_tokenizer(conf: RunConf, training: TextPairs) -> PreTrainedTokenizerFast:
    if conf.checkpoint is not None:
        return open_trained(conf.checkpoint).tokenizer
    return build_tokenizer(conf, training)


def _unify_block_sizes(sets: list[PairSet]) -> list[PairSet]:
    block_size = find_block_size(*sets)
    if block_size is None:
        return sets
    return [
        PairSet(each.source, each.pairs, each.texts, unify_block_size(each.bad, block_size))
        for each in sets
    ]
