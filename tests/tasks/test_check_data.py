"""The inspection as a task: what it writes and prints of clean and of faulty data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from infinito import run as program
from infinito.cli.composition import check
from infinito.errors import DataError, InfinitoError
from infinito.paths import conf_dir


def inspect(tmp_path: Path, *overrides: str) -> dict[str, Any]:
    fixed = ["task=check_data", "data=pairs", "tokenizer=char", *overrides]
    assert program.execute(check(fixed, conf_dir()), tmp_path / "run") is None
    return json.loads((tmp_path / "run/data_report.json").read_text())


def test_the_bundled_pairs_are_healthy(tmp_path: Path) -> None:
    report = inspect(tmp_path)
    for part in ("training", "held_out"):
        found = report[part]
        assert found["pairs"] == found["rows"] == 8
        for fault in ("duplicates", "flipped", "boundary_merges"):
            assert found[fault]["count"] == 0
        assert found["lengths"]["longer_wins"] == found["lengths"]["shorter_wins"] == 0.5
        assert 0.8 <= found["lengths"]["mean_character_ratio"] <= 1.25
    assert report["overlap"]["prompts"]["count"] == 0


def test_a_file_of_bad_rows_alone_is_inspect(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps({"question": "Why?", "chosen": "a", "rejected": "b"}) + "\n[]\n")
    with pytest.raises(DataError, match=r"bad.jsonl has no usable pair \(rows read: 2\)"):
        inspect(tmp_path, f"data.path={path}")
    report = json.loads((tmp_path / "run/data_report.json").read_text())
    kinds = report["training"]["bad_rows"]["by_kind"]
    assert kinds == {"no shared prompt": 1, "not an object": 1}
    assert report["held_out"]["rows"] == 0
    assert "row 0: has no prompt" in capsys.readouterr().out


def test_brackets_are_printed_as_they_stand(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "pairs[new].jsonl"
    path.write_text(json.dumps({"[/b]": "Why?", "[tag]": "a"}) + "\n")
    with pytest.raises(DataError, match="has no usable pair"):
        inspect(tmp_path, f"data.path='{path}'")
    printed = capsys.readouterr().out.replace("\n", "")
    assert "lacks `chosen` and `rejected` (it has [/b], [tag])" in printed
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
    report = inspect(
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


def test_the_bundled_pairs_need_no_tokenizer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The usual vocabulary of 2,048 tokens is more than their text supports."""
    assert program.execute(check(["task=check_data", "data=pairs"], conf_dir()), tmp_path) is None
    report = json.loads((tmp_path / "data_report.json").read_text())
    assert report["training"]["pairs"] == report["held_out"]["pairs"] == 8
    assert report["training"]["lengths"] is None
    assert report["training"]["characters"]["longer_wins"] == 0.5
    assert "`tokenizer.vocab_size`=2048" in report["notes"][0]
    printed = capsys.readouterr().out
    assert "chosen characters" in printed
    assert "note: nothing was counted in tokens: " in printed


def test_a_tokenizer_that_was_named_and_fails_is_an_error(tmp_path: Path) -> None:
    missing = f"tokenizer.path={tmp_path / 'none'}"
    with pytest.raises(InfinitoError, match="none"):
        inspect(tmp_path, "tokenizer=pretrained", missing)


def test_one_block_size_holds_the_rows_of_both_sets(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Letters are tokens: 1 + 301 of the training row, 1 + 401 of the held-out one."""
    short = {"prompt": "q", "chosen": "a", "rejected": "b"}
    for name, letters in (("a", 300), ("b", 400)):
        rows = [short, {**short, "chosen": "x" * letters}]
        text = "".join(json.dumps(row) + "\n" for row in rows)
        (tmp_path / f"{name}.jsonl").write_text(text)
    paths = [f"data.path={tmp_path / 'a.jsonl'}", f"data.held_out_path={tmp_path / 'b.jsonl'}"]
    report = inspect(tmp_path, *paths, "data.chat=false")
    assert [report[name]["block_size"] for name in ("training", "held_out")] == [302, 402]
    for name in ("training", "held_out"):
        assert "`data.block_size=402`" in report[name]["bad_rows"]["first"][0]["mend"]
    assert "`data.block_size=402` holds every row of both sets" in capsys.readouterr().out


def test_too_few_prompts_to_split_hide_nothing(tmp_path: Path) -> None:
    path = tmp_path / "one.jsonl"
    path.write_text(json.dumps({"prompt": "q", "chosen": "a", "rejected": "b"}) + "\n{\n")
    with pytest.raises(DataError, match="held-out part has no usable pair"):
        inspect(tmp_path, f"data.path={path}")
    report = json.loads((tmp_path / "run/data_report.json").read_text())
    assert report["training"]["pairs"] == 1
    assert report["training"]["bad_rows"]["by_kind"] == {"not JSON": 1}
    assert "1 different prompts" in report["notes"][0]


def test_escape_codes_in_keys_are_shown_and_not_sent(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text(json.dumps({"\x1b[31mred": 1, "\ud83d": 2}) + "\n")
    with pytest.raises(DataError, match="has no usable pair"):
        inspect(tmp_path, f"data.path={path}")
    printed = capsys.readouterr().out
    assert "\x1b" not in printed
    assert "it has \\x1b[31mred, \\ud83d" in printed


@pytest.mark.parametrize("tokenizer", ["char", "bpe"])
def test_a_template_that_writes_nothing_leaves_no_usable_pair(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tokenizer: str
) -> None:
    """Its fault is named, not that of the tokenizer, which would find no text."""
    template = "data.chat_template='{{ 1/0 }}'"
    with pytest.raises(DataError, match=r"has no usable pair \(rows read: 8\)"):
        inspect(tmp_path, template, f"tokenizer={tokenizer}")
    printed = capsys.readouterr().out
    assert "row 0: is refused by the chat template: division by zero" in printed
    assert "vocab_size" not in printed


def test_a_tuning_names_the_template_that_writes_nothing(tmp_path: Path) -> None:
    conf = check(["+experiment=dpo", "data.chat_template='{{ 1/0 }}'"], conf_dir())
    with pytest.raises(DataError, match=r"row 0.* is refused by the chat template: division"):
        program.execute(conf, tmp_path / "run")
