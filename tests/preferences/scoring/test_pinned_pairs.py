"""Pairs of a run that have changed since are named when they are scored."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import Any

import pytest

from infinito.errors import CheckpointError
from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.pairs.pair_set import PairSet
from infinito.preferences.pairs.text_pair import TextPair
from infinito.preferences.scoring.pinned_pairs import check_pairs, pair_inputs

DATA = {"path": "/a.jsonl", "held_out_path": "/b.jsonl", "subset": "train", "chat": True}
DATA["held_out_subset"] = "test"


def pairs(answer: str, ids: tuple[int, ...] = (2,)) -> PairSet:
    text = TextPair("prompt", answer, "worse", None, 0)
    return PairSet("b.jsonl", [TokenizedPair((1,), ids, (3,), None, 0)], [text], [])


def record() -> dict[str, Any]:
    inputs = [*pair_inputs("held-out", pairs("better")), *pair_inputs("training", pairs("good"))]
    return {"config": {"data": DATA}, "inputs": {each.name: asdict(each) for each in inputs}}


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"path": "/b.jsonl", "subset": "test"}, "held-out pairs"),
        ({"path": "/a.jsonl", "batch_size": 7}, "training pairs"),
    ],
)
def test_changed_pairs_of_the_run_are_refused(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(CheckpointError, match=rf"{name} \(b.jsonl\).*(.*\n)+Put the old pairs"):
        check_pairs(record(), DATA | changes, pairs("other"))


def test_another_template_changes_the_ids_alone() -> None:
    now = DATA | {"path": "/b.jsonl", "subset": "test"}
    with pytest.raises(CheckpointError, match="token ids of the held-out pairs"):
        check_pairs(record(), now, pairs("better", (2, 2)))


@pytest.mark.parametrize(
    "changes",
    [{"path": "/c.jsonl"}, {"path": "/b.jsonl", "subset": "train"}, {"chat": False}],
)
def test_other_pairs_are_not_compared(changes: dict[str, Any]) -> None:
    check_pairs(record(), DATA | changes, pairs("other"))


def test_unchanged_pairs_and_models_without_a_record_pass() -> None:
    now = DATA | {"path": "/b.jsonl", "subset": "test"}
    check_pairs(record(), now, replace(pairs("better"), source="/elsewhere/b.jsonl"))
    check_pairs(None, now, pairs("other"))
