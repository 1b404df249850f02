"""Any data set with a column of text: its splits, its faults, and rows one after the other."""

from __future__ import annotations

import csv
import gzip
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pytest
from pyarrow import parquet

from infinito.cli.composition import check
from infinito.data.sources.hub_text import HubText
from infinito.data.sources.source import SPLITS, Split, digest
from infinito.data.sources.text_reading import PIECE_CHARACTERS, cut_text, read_text
from infinito.errors import ConfigError, DataError, HubError
from infinito.paths import conf_dir

ROWS = [f"row {n} of a small data set" for n in range(200)]


def texts(source: HubText, split: Split) -> list[str]:
    return ["".join(document) for document in source.documents(split)]


def write_lines(path: Path, rows: Sequence[Any]) -> str:
    path.write_text(
        "".join(json.dumps({"id": n, "text": row}) + "\n" for n, row in enumerate(rows))
    )
    return str(path)


def write_parquet(path: Path, rows: Sequence[str]) -> str:
    parquet.write_table(pa.table({"id": range(len(rows)), "text": list(rows)}), path)
    return str(path)


def write_csv(path: Path, rows: Sequence[str]) -> str:
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *enumerate(rows)])
    return str(path)


def save(folder: Path, rows: Sequence[str]) -> str:
    datasets.Dataset.from_dict({"text": list(rows)}).save_to_disk(str(folder))
    return str(folder)


WRITERS = {"a.jsonl": write_lines, "a.csv": write_csv, "a.parquet": write_parquet, "saved": save}


@pytest.mark.parametrize("name", WRITERS)
def test_rows_without_published_splits_are_divided_by_their_text(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / name, [*ROWS, *ROWS[:50]])
    source = HubText(path, valid_fraction=0.2, test_fraction=0.1)
    by_split = {split: texts(source, split) for split in SPLITS}
    assert sorted(text for split in SPLITS for text in by_split[split]) == sorted(
        [*ROWS, *ROWS[:50]]
    )
    sides = [set(by_split[split]) for split in SPLITS]
    assert len(set().union(*sides)) == sum(map(len, sides))
    assert 0.1 < len(by_split["valid"]) / 250 < 0.3
    assert by_split["train"] == [t for t in [*ROWS, *ROWS[:50]] if t in sides[0]]


def test_cells_of_a_table_are_text(tmp_path: Path) -> None:
    """Quotes, commas and line ends within a cell; what looks like a number or a missing value."""
    rows = ["12", "1e3", "NA", "nan", "true", 'a "quoted", piece', "two\nlines", "0x10", "é"]
    rows.append("long " * 500_000)
    path = Path(write_csv(tmp_path / "a.csv", rows))
    packed = tmp_path / "a.csv.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    for file in (path, packed):
        source = HubText(str(file), valid_fraction=0, test_fraction=0)
        assert texts(source, "train") == rows


def test_a_row_with_too_many_cells_is_shown(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,text\n1,a,b,c\n")
    with pytest.raises(DataError, match=r"a\.csv cannot be read: .*Expected 2 columns, got 4: 1,a"):
        texts(HubText(str(tmp_path / "a.csv")), "train")


def test_the_fingerprint_follows_the_text_alone(tmp_path: Path) -> None:
    lines = HubText(write_lines(tmp_path / "a.jsonl", ROWS))
    table = HubText(write_parquet(tmp_path / "b.parquet", ROWS))
    other = HubText(write_lines(tmp_path / "c.jsonl", [*ROWS, "one more"]))
    assert {lines.fingerprint(split) for split in SPLITS} == {
        table.fingerprint(split) for split in SPLITS
    }
    assert [lines.fingerprint(s) for s in SPLITS] != [other.fingerprint(s) for s in SPLITS]


def test_one_pass_takes_the_fingerprints_of_all_that_the_rows_hold(tmp_path: Path) -> None:
    source = HubText(write_lines(tmp_path / "a.jsonl", ROWS), test_fraction=0)
    told: list[tuple[str, int, int | None]] = []
    source.show = lambda *each: told.append(each)
    assert source.utf8_bytes("train") is None
    for split in ("valid", "train"):
        content = hashlib.sha256()
        for text in texts(source, split):
            content.update(hashlib.sha256(text.encode()).digest())
        assert source.fingerprint(split) == digest("hub", content.hexdigest())
        assert source.utf8_bytes(split) == sum(len(text) for text in texts(source, split))
    assert told[-1] == (f"reading {source.description}", sum(map(len, ROWS)), None)
    assert sum(done == 0 for _, done, _ in told) == 1
    with pytest.raises(DataError, match="publishes no test split"):
        source.fingerprint("test")


def test_published_splits_are_used(tmp_path: Path) -> None:
    for name, rows in (("train", ROWS[:100]), ("validation", ROWS[100:150]), ("test", ROWS[150:])):
        write_lines(tmp_path / f"{name}-0001.jsonl", rows)
    source = HubText(str(tmp_path))
    assert [texts(source, s) for s in SPLITS] == [ROWS[:100], ROWS[100:150], ROWS[150:]]


def test_max_bytes_ends_after_whole_rows(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ["ab", "cd", "ef"])
    source = HubText(path, valid_fraction=0, test_fraction=0, max_bytes=5)
    assert texts(source, "train") == ["ab", "cd"]


def test_only_the_column_of_text_is_read(tmp_path: Path) -> None:
    """A year that no Python date holds stands in a column that nobody asked for."""
    far = pa.array([2**62], pa.timestamp("us"))
    parquet.write_table(pa.table({"when": far, "text": ["a b"]}), tmp_path / "a.parquet")
    source = HubText(str(tmp_path / "a.parquet"), valid_fraction=0, test_fraction=0)
    assert texts(source, "train") == ["a b"]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_a_column_that_is_not_there_lists_those_that_are(tmp_path: Path, name: str) -> None:
    path = WRITERS[name](tmp_path / name, ROWS)
    message = r"has no column txet; it has id, text: did you mean `text`.*data\.column="
    with pytest.raises(DataError, match=message):
        texts(HubText(path, column="txet"), "train")


@pytest.mark.parametrize(
    ("row", "what"), [(None, "null"), (7, "int"), (["a"], "list")], ids=["null", "int", "list"]
)
def test_rows_that_are_no_text_are_named(tmp_path: Path, row: Any, what: str) -> None:
    path = write_lines(tmp_path / "a.jsonl", [row])
    with pytest.raises(DataError, match=rf"Row 1 of column text of .*is {what}; expected text"):
        texts(HubText(path), "train")


def test_a_split_that_is_not_there_lists_those_that_are(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ROWS)
    with pytest.raises(DataError, match=r"has no split main; it has train: .*data\.split=train"):
        texts(HubText(path, split="main"), "train")
    with pytest.raises(DataError, match=r"publishes no test split \(it has train\).*fraction=0\.1"):
        texts(HubText(path, test_fraction=0), "test")


def test_an_empty_set_is_an_error(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "a.jsonl", ["", ""])
    with pytest.raises(DataError, match=r"The train split of text of .* has no text"):
        texts(HubText(path), "train")


def test_the_row_of_a_null_is_counted_over_all_that_is_read_at_once(tmp_path: Path) -> None:
    rows = [*ROWS, *ROWS, *ROWS[:99], None]
    parquet.write_table(pa.table({"text": rows}), tmp_path / "a.parquet")
    with pytest.raises(DataError, match=r"Row 500 of column text of .*is null; expected text"):
        texts(HubText(str(tmp_path / "a.parquet")), "train")


def test_parquet_files_of_other_columns_are_named(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", ROWS)
    parquet.write_table(pa.table({"id": [1], "words": ["a"]}), tmp_path / "b.parquet")
    with pytest.raises(DataError, match=r"has no column text; it has id, words\. Use data\.col"):
        texts(HubText(str(tmp_path)), "train")


def test_a_set_of_one_document_leaves_no_other_split(tmp_path: Path) -> None:
    source = HubText(write_lines(tmp_path / "a.jsonl", ROWS[:1]))
    with pytest.raises(DataError, match=r"no row of it is left. Use another data\.split, a larger"):
        [texts(source, split) for split in SPLITS]


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet", "a.arrow"])
def test_a_damaged_file_is_named(
    tmp_path: Path, name: str, capfd: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / name).write_bytes(b"\xff\x01 no such format\n")
    with pytest.raises(DataError, match=rf"{name} cannot be read: .*[^.]\. Check data\.path"):
        texts(HubText(str(tmp_path / name)), "train")
    assert "Failed to" not in capfd.readouterr().err


def test_a_path_that_is_not_there_and_a_folder_without_data(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no\.jsonl does not exist.*a hub id such as"):
        texts(HubText(str(tmp_path / "no.jsonl")), "train")
    with pytest.raises(DataError, match=r"has no file to read"):
        texts(HubText(str(tmp_path)), "train")


@pytest.mark.usefixtures("closed_hub")
def test_a_hub_that_does_not_answer_names_the_way_round() -> None:
    with pytest.raises(HubError, match=r"data set owner/name: .*data\.path=<file or folder>"):
        texts(HubText("owner/name"), "train")


def test_a_text_at_hand_is_cut_as_a_file_is(tmp_path: Path) -> None:
    text = "word and word\nand more  words " * 5000 + "x" * (2 * PIECE_CHARACTERS)
    (tmp_path / "a.txt").write_text(text)
    assert list(cut_text(text)) == list(read_text(tmp_path / "a.txt"))


def test_the_command_needs_a_path() -> None:
    with pytest.raises(ConfigError, match=r"`data=hub` reads a data set.*`data\.path="):
        check(["data=hub"], conf_dir())
