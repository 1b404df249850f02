"""Trainings that share their seeds between arms: run, measured, and compared seed by seed."""

from __future__ import annotations

import csv
import json
import os
import resource
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from infinito import run as program
from infinito.cli.composition import check
from infinito.models.trained import open_trained
from infinito.paths import conf_dir
from infinito.run_folder.folder import events_folder
from infinito.statistics import mean_interval

SAMPLES, SAMPLE_TOKENS = 16, 64


def run_once(folder: Path, overrides: Sequence[str], about: Mapping[str, Any]) -> None:
    """Train in a process of its own and leave study.json in `folder`, unless it is there.

    Args:
        about: What tells this run from the others, kept with its results.
    """
    if (folder / "study.json").is_file():
        return
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            _train(folder, overrides, about)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    if status:
        raise SystemExit(f"{folder}: the training failed, see run.log there")


def _train(folder: Path, overrides: Sequence[str], about: Mapping[str, Any]) -> None:
    torch.set_num_threads(1)
    fixed = ["trainer.threads=1", "trainer.progress_bar=false", "trainer.sample_tokens=0"]
    started_s = time.process_time()
    program.execute(check([*fixed, "trainer.accelerator=cpu", *overrides], conf_dir()), folder)
    summary = json.loads((folder / "summary.json").read_text())
    result = {
        **about,
        "perplexity": summary["val/perplexity"],
        "bits_per_byte": summary["val/bits_per_byte"],
        "phi": summary.get("val/phi"),
        "share_in_band": summary.get("train/phi_share_in_band"),
        "parameters": summary["parameters"],
        "cpu_s": time.process_time() - started_s,
        "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        **sample_quality(folder),
        "curve": curve(folder),
    }
    (folder / "study.json").write_text(json.dumps(result, indent=1) + "\n")


def sample_quality(folder: Path) -> dict[str, float]:
    """Return the shares of distinct 1-, 2- and 3-grams of sampled tokens, and the share of 4-grams
    that the same sample held before."""
    trained = open_trained(str(folder))
    start = trained.tokenizer.eos_token_id or 0
    model: Any = trained.model
    torch.manual_seed(0)
    with torch.no_grad():
        ids = model.generate(
            input_ids=torch.full((SAMPLES, 1), start),
            attention_mask=torch.ones(SAMPLES, 1, dtype=torch.long),
            max_new_tokens=SAMPLE_TOKENS,
            do_sample=True,
            top_k=0,
            temperature=0.8,
            pad_token_id=start,
            eos_token_id=None,
        )[:, 1:].tolist()
    found = {}
    for n in (1, 2, 3):
        grams = [g for row in ids for g in _grams(row, n)]
        found[f"distinct_{n}"] = len(set(grams)) / len(grams)
    repeats = [1 - len(set(_grams(row, 4))) / len(_grams(row, 4)) for row in ids]
    return {**found, "repetition": float(np.mean(repeats))}


def _grams(row: Sequence[int], n: int) -> list[tuple[int, ...]]:
    return [tuple(row[i : i + n]) for i in range(len(row) - n + 1)]


def curve(folder: Path) -> list[tuple[int, float]]:
    """Return the validation loss by step."""
    events = EventAccumulator(str(events_folder(folder)))
    events.Reload()
    return [(event.step, event.value) for event in events.Scalars("val/loss")]


def finished(runs: Path) -> list[dict[str, Any]]:
    """Return the results of all finished runs of a study."""
    return [json.loads(path.read_text()) for path in sorted(runs.glob("*/study.json"))]


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write one row a run, without the curves."""
    fields = [name for name in rows[0] if name != "curve"]
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fields, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Return the mean and half-width of its 95 % t interval; NaN for a single value."""
    found = mean_interval(values)
    return found.mean, found.half_width


def differences(
    rows: Iterable[Mapping[str, Any]], arm: str, control: str, metric: str
) -> list[float]:
    """Return arm minus control for each seed that both have; `arm` is a key of each row."""
    by = {(row["arm"], row["seed"]): row[metric] for row in rows}
    seeds = sorted(seed for name, seed in by if name == arm and (control, seed) in by)
    pairs = [(by[arm, seed], by[control, seed]) for seed in seeds]
    return [a - b for a, b in pairs if a is not None and b is not None]


def table(
    rows: Sequence[Mapping[str, Any]], arms: Sequence[str], control: str, metrics: Mapping[str, int]
) -> str:
    """Return a Markdown table: means of metrics, and paired differences to the control.

    Args:
        metrics: Digits after the point, by metric.
    """
    lines = ["| arm | seeds | " + " | ".join(metrics) + " |", "|" + "---|" * (len(metrics) + 2)]
    for arm in arms:
        own = [row for row in rows if row["arm"] == arm]
        if not own:
            continue
        cells = []
        for metric, digits in metrics.items():
            values = [row[metric] for row in own if row.get(metric) is not None]
            if not values:
                cells.append("–")
                continue
            cell = f"{np.mean(values):.{digits}f}"
            change = differences(rows, arm, control, metric) if arm != control else []
            if len(change) > 1:
                mean, half = interval(change)
                cell += f" ({mean:+.{digits}f} ± {half:.{digits}f})"
            cells.append(cell)
        lines.append(f"| {arm} | {len(own)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"
