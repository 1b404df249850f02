"""The report keeps to its schema, reads well, and its curves and tables show what is there."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from infinito.preferences.report.curves import draw_curves, save_figures
from infinito.preferences.report.document import (
    FORMAT,
    describe_held_out,
    describe_training,
    format_number,
    load_schema,
    render_markdown,
)
from infinito.preferences.report.model_card import render_model_card
from infinito.preferences.report.sweep_table import render_sweep_table
from tests.preferences.scoring.test_figures import scores

HISTORY = [
    {"step": 1, "train/loss": 0.69, "rewards/accuracies": 0.0, "rewards/margins": 0.0},
    {"step": 2, "train/loss": 0.5, "rewards/accuracies": 1.0, "rewards/margins": 0.4},
    {"step": 2, "val/loss": 0.6, "val/rewards/accuracies": 0.5, "val/rewards/margins": 0.2},
]


def report(**changes: Any) -> dict[str, Any]:
    made = {
        "format": FORMAT,
        "status": "ok",
        "reason": "the held-out margin changed by +1",
        "notes": ["a note"],
        "seed": 0,
        "model": {
            "name": "dpo",
            "type": "distance_lm",
            "origin": "made here",
            "parameters": 1000,
            "trained_parameters": 1000,
            "tokens": 300,
        },
        "method": {
            "loss": ["sigmoid"],
            "loss_weights": None,
            "beta": 0.1,
            "reference": "precomputed",
            "layout": {"name": "shared"},
            "learning_rate": 1e-3,
            "batch_size": 4,
            "accumulate": 1,
        },
        "data": {
            "training": "a",
            "held_out": "b",
            "dropped_training": {"null field": 2},
            "dropped_held_out": {"null field": 1, "weight": 1},
            "lengths": {},
        },
        "samples": 8,
        "held_out_samples": 4,
        "epochs": 2.0,
        "steps": 2,
        **describe_training(HISTORY),
        "held_out": describe_held_out(scores([0.0] * 4), scores([1.0, 2, 3, 4]), 0.1),
        "answers": [{"prompt": "Why?", "category": None, "before": "x\ny", "after": "z"}],
        "timing": {
            "started": "2000-01-01",
            "duration_seconds": 6.0,
            "duration_minutes": 0.1,
            "training_seconds": 1.0,
            "reference_pairs_computed": 0,
        },
    }
    return {**made, **changes}


def test_first_and_last_figures() -> None:
    found = report()
    jsonschema.validate(found, load_schema())
    assert (found["initial_loss"], found["final_loss"]) == (0.69, 0.5)
    assert (found["initial_margins"], found["final_margins"]) == (0.0, 0.4)
    assert found["final_accuracy"] == 1.0


@pytest.mark.parametrize(
    ("key", "value"),
    [("status", "SUCCESS"), ("samples", -1), ("held_out", {}), ("extra", 1), ("reason", "")],
)
def test_the_schema_refuses(key: str, value: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(report(**{key: value}), load_schema())


def test_a_failed_run_has_a_report_too() -> None:
    found = report(status="failed", held_out=None, answers=[], **describe_training([]))
    jsonschema.validate(found, load_schema())
    assert render_markdown(found).startswith("# Preference tuning: failed")


def test_markdown_tells_all() -> None:
    text = render_markdown(report())
    for part in (
        "# Preference tuning: ok",
        "- a note",
        "| dropped rows | 3 null field, 1 weight |",
        "| reward accuracy | all tied | 1.000 (0.510 to 1.000) |",
        "| longer wins | 0.500 (0.150 to 0.850) |",
        "> x\n> y",
        "plots/loss.png",
    ):
        assert part in text


def test_numbers_are_short() -> None:
    assert [format_number(each) for each in (0.123456, None, float("nan"), 0.0)] == [
        "0.1235",
        "–",
        "–",
        "0",
    ]


def test_the_card_names_its_base() -> None:
    card = render_model_card(report(), "some/model")
    assert "base_model: some/model" in card.partition("---\n\n")[0]
    assert "import infinito.models.distance_lm.model" in card
    assert "base_model" not in render_model_card(report(), None)
    assert "plots/" not in card


def test_a_table_of_a_sweep_shows_what_differs_the_best_first() -> None:
    other = copy.deepcopy(report(seed=1, status="failed", held_out=None))
    other["method"]["loss"], other["method"]["reference"] = ["ipo", "sft"], "copy"
    lines = render_sweep_table({"0": other, "1": report()}).splitlines()
    assert lines[0].startswith("| run | seed | loss | beta | learning_rate | reference | held-out")
    assert lines[2].startswith("| 1 | 0 | sigmoid | 0.1 | 0.001 | precomputed | 1.000 (0.510")
    assert lines[3].startswith("| 0 | 1 | ipo+sft | 0.1 | 0.001 | copy | – | – | 0.5 | failed |")


def run_of(beta: float, gains: list[float]) -> dict[str, Any]:
    """A run with these gains of the held-out chosen answers, in nats."""
    made = report(held_out=describe_held_out(scores([0.0] * 4), scores(gains), beta))
    return {**made, "method": {**made["method"], "beta": beta}}


def test_a_table_of_a_sweep_is_not_led_by_a_large_beta() -> None:
    """By accuracy, then by margin in nats: 0 is above −1, and 4 above 3 whatever β is."""
    found = {
        "wide": run_of(5.0, [40.0, 40, -1, -1]),
        "none": run_of(0.1, [0.0] * 4),
        "below": run_of(0.1, [-1.0] * 4),
        "most": run_of(0.1, [4.0] * 4),
        "all": run_of(0.5, [3.0] * 4),
    }
    lines = render_sweep_table(found).splitlines()[2:]
    names = [line.split("|")[1].strip() for line in lines]
    assert names == ["most", "all", "wide", "none", "below"]


def test_curves_show_training_and_held_out_values(tmp_path: Path) -> None:
    figures = draw_curves(HISTORY)
    loss = figures["loss"].axes[0]
    assert [np.asarray(line.get_ydata()).tolist() for line in loss.lines] == [[0.69, 0.5], [0.6]]
    assert not figures["log_probabilities"].axes[0].lines
    save_figures(figures, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "accuracies.png",
        "log_probabilities.png",
        "loss.png",
        "margins.png",
    ]
