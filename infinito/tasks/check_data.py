"""`task=check_data`: what is odd about preference pairs, before anything is trained on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from infinito.config import RunConf
from infinito.models.trained import open_trained
from infinito.preferences.assembly import (
    build_pair_tokenizer,
    build_tokenizer,
    read_pair_texts,
    require_pairs,
)
from infinito.preferences.pairs.checking import find_overlap, inspect_pairs
from infinito.preferences.pairs.pair_set import TextPairs, read_pairs, tokenize_pairs
from infinito.run_folder.folder import record_config
from infinito.run_folder.records import write_json
from infinito.run_folder.tables import print_table


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Writes data_report.json in `folder` and prints it."""
    console = Console()
    report = inspect_data(conf)
    record_config(folder, asdict(conf), overrides)
    write_json(folder / "data_report.json", report)
    for name in ("training", "held_out"):
        print_table(console, f"{name.replace('_', '-')} pairs", list_findings(report[name]))
        for bad in report[name]["bad_rows"]["first"][:5]:
            said = f"  row {bad['row']}: {bad['fault']}. {bad['mend']}"
            console.print(said, markup=False, highlight=False)
        console.print()
    shared = report["overlap"]
    print_table(
        console,
        "held-out pairs that are trained on",
        {"same prompt": shared["prompts"]["count"], "same pair": shared["pairs"]["count"]},
    )
    console.print(f"\nwritten to {folder / 'data_report.json'}", highlight=False, soft_wrap=True)


def inspect_data(conf: RunConf) -> dict[str, Any]:
    """The findings of training and held-out pairs, and what they share."""
    texts = read_texts(conf)
    tokenizer = (
        build_tokenizer(conf, texts[0])
        if conf.checkpoint is None
        else open_trained(conf.checkpoint).tokenizer
    )
    encode = build_pair_tokenizer(conf, tokenizer)
    sets = [tokenize_pairs(each, encode) for each in texts]
    return {
        "training": inspect_pairs(sets[0], encode),
        "held_out": inspect_pairs(sets[1], encode),
        "overlap": find_overlap(sets[0].texts, sets[1].texts),
        "window": conf.data.block_size,
        "tokens": len(tokenizer),
    }


def read_texts(conf: RunConf) -> tuple[TextPairs, TextPairs]:
    """Training and held-out pairs; a file of bad rows alone is all training, to be told of."""
    data = require_pairs(conf)
    if data.path is not None and data.held_out_path is None:
        whole = read_pairs(data.path, data.subset, data.max_rows)
        if whole.bad and not whole.pairs:
            return whole, TextPairs(f"{whole.source}, held-out part", [], [])
    return read_pair_texts(conf)


def list_findings(found: dict[str, Any]) -> dict[str, Any]:
    """The findings of one set as lines of a table."""
    kinds = found["bad_rows"]["by_kind"]
    table = {
        "source": found["source"],
        "rows": found["rows"],
        "usable pairs": found["pairs"],
        "bad rows": ", ".join(f"{count} {kind}" for kind, count in kinds.items()) or 0,
        "duplicates": found["duplicates"]["count"],
        "flipped": found["flipped"]["count"],
        "merges at the boundary": found["boundary_merges"]["count"],
    }
    lengths = found["lengths"]
    if lengths is None:
        return table
    for side in ("prompt", "chosen", "rejected"):
        counts = lengths[f"{side}_tokens"]
        table[f"{side} tokens"] = (
            f"{counts['min']:g} to {counts['max']:g}, mean {counts['mean']:.1f}"
        )
    return table | {
        "longest prompt and answer": lengths["longest_sequence_tokens"],
        "longer wins": f"{lengths['longer_wins']:.2f} of pairs",
        "shorter wins": f"{lengths['shorter_wins']:.2f} of pairs",
        "chosen over rejected": f"{lengths['mean_token_ratio']:.2f} in tokens, "
        f"{lengths['mean_character_ratio']:.2f} in characters",
    }
