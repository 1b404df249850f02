"""The doctor as a task: what it writes and says of clean and of ill data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infinito import run as program
from infinito.cli.composition import check
from infinito.paths import conf_dir


def examined(tmp_path: Path, *overrides: str) -> dict[str, Any]:
    fixed = ["task=check_data", "data=pairs", "tokenizer=char", *overrides]
    assert program.execute(check(fixed, conf_dir()), tmp_path / "run") is None
    return json.loads((tmp_path / "run/data_report.json").read_text())


def test_the_bundled_pairs_are_healthy(tmp_path: Path) -> None:
    report = examined(tmp_path)
    for part in ("training", "held_out"):
        found = report[part]
        assert found["pairs"] == found["rows"] == 8
        for fault in ("duplicates", "flipped", "boundary_merges"):
            assert found[fault]["count"] == 0
        assert found["lengths"]["longer_wins"] == found["lengths"]["shorter_wins"] == 0.5
        assert 0.8 <= found["lengths"]["mean_character_ratio"] <= 1.25
    assert report["overlap"]["prompts"]["count"] == 0


def test_a_file_of_bad_rows_alone_is_examined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps({"question": "Why?", "chosen": "a", "rejected": "b"}) + "\n[]\n")
    report = examined(tmp_path, f"data.path={path}")
    kinds = report["training"]["bad_rows"]["by_kind"]
    assert kinds == {"no shared prompt": 1, "not an object": 1}
    assert report["held_out"]["rows"] == 0
    assert "row 0: has no prompt" in capsys.readouterr().out


def test_brackets_are_printed_as_they_stand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pairs[new].jsonl"
    path.write_text(json.dumps({"[/b]": "Why?", "[tag]": "a"}) + "\n")
    examined(tmp_path, f"data.path='{path}'")
    printed = capsys.readouterr().out.replace("\n", "")
    assert "lacks `chosen` (it has [/b], [tag])" in printed
    assert "pairs[new].jsonl" in printed


def test_everything_that_was_hidden_is_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    good = {"prompt": "Why?", "chosen": "Because.", "rejected": "No idea."}
    rows: list[Any] = [
        good,
        good,
        {**good, "chosen": "No idea.", "rejected": "Because."},
        {**good, "prompt": ""},
        {**good, "chosen": "No idea."},
        {**good, "chosen": "x" * 300},
        {**good, "prompt": "How?"},
    ]
    for name, kept in (("a", rows), ("b", [rows[0], {**good, "prompt": "When?"}])):
        text = "".join(json.dumps(row) + "\n" for row in kept)
        (tmp_path / f"{name}.jsonl").write_text(text + "{not json\n")
    report = examined(
        tmp_path,
        f"data.path={tmp_path / 'a.jsonl'}",
        f"data.held_out_path={tmp_path / 'b.jsonl'}",
        "data.block_size=100",
    )
    training = report["training"]
    assert training["bad_rows"]["by_kind"] == {
        "answer too long": 1,
        "empty field": 1,
        "identical answers": 1,
        "not JSON": 1,
    }
    assert training["duplicates"] == {"count": 1, "rows": [1]}
    assert training["flipped"] == {"count": 3, "rows": [0, 1, 2]}
    assert report["overlap"]["pairs"] == {"count": 1, "rows": [0]}
    printed = capsys.readouterr().out
    assert "row 3: has an empty `prompt`" in printed
