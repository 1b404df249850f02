"""The pairs of a tuning: bad rows, leaks, and lengths."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from infinito.config import RunConf
from infinito.errors import DataError
from infinito.preferences.preparation import Prepared
from tests.tasks.dpo.conftest import Tune, saved, written


def test_dropped_rows_are_counted(tune: Tune, tmp_path: Path) -> None:
    rows = [{"prompt": f"Say {n}", "chosen": f"one {n}", "rejected": f"two {n}"} for n in range(6)]
    bad: list[dict[str, Any]] = [{**rows[0], "chosen": None}, {"prompt": "x"}]
    path = tmp_path / "pairs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *bad]))
    overrides = (f"data.path={path}", "data.held_out_fraction=0.4", "tokenizer=char")
    with pytest.raises(DataError, match="row 6: has null as `chosen`"):
        tune(*overrides)
    report = tune(*overrides, "data.on_bad_row=drop", folder="dropped")
    assert report["data"]["dropped_training"] == {"missing field": 1, "null field": 1}
    assert report["samples"] + report["held_out_samples"] == 6


def test_held_out_pairs_that_are_not_unseen_are_noted(
    small: Callable[..., RunConf], tmp_path: Path
) -> None:
    path = written(tmp_path / "a.jsonl", ("a", "b", "c"), ("d", "e", "f"))
    leaking = (
        f"data.path={path}",
        f"data.held_out_path={path}",
        "dpo.warmup_steps=0",
        "tokenizer=char",
    )
    notes = Prepared(small(*leaking, "trainer.patience=2"), Console(quiet=True)).list_notes()
    assert notes[:2] == [
        f"2 of 2 held-out {what} are trained on too" for what in ("pairs", "prompts")
    ]
    assert len(notes) == 4
    assert "`trainer.patience` used" in notes[2]
    (note,) = Prepared(small("dpo.warmup_steps=0"), Console(quiet=True)).list_notes()
    assert note.startswith("the policy began with random weights")


def test_a_file_of_bad_rows_alone_says_what_is_wrong(tune: Tune, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text('{"prompt": "x", "chosen": null, "rejected": "b"}\n' * 2)
    with pytest.raises(DataError, match=r"2 of 2 rows cannot be used .*\n.*null as `chosen`"):
        tune(f"data.path={path}")
    with pytest.raises(DataError, match=r"all rows were dropped \(2 null field\)"):
        tune(f"data.path={path}", "data.on_bad_row=drop", folder="dropped")


def test_held_out_pairs_are_probed_too(small: Callable[..., RunConf], tmp_path: Path) -> None:
    """Training pairs fit in a window of 8 tokens, held-out ones do not."""
    run = small(
        "model=pretrained",
        f"model.path={saved(tmp_path / 'mistral', 'mistral_windowed')}",
        "model.trainable=all",
        "data.chat=false",
        f"data.path={written(tmp_path / 'a.jsonl', ('a', 'b', 'c'))}",
        f"data.held_out_path={written(tmp_path / 'b.jsonl', ('abcde', 'fghijkl', 'mnopqrs'))}",
    )
    assert Prepared(run, Console(quiet=True)).layout.name == "concat"
