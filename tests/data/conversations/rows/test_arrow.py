"""Of Parquet files and datasets only the columns of a pair are read, row by row where need be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from infinito.data.conversations.rows.arrow import load_folder, read_parquet
from infinito.errors import DataError
from infinito.preferences.pairs.pair_set import read_pairs
from infinito.preferences.pairs.rows.columns import PAIR_ROWS

ROWS: dict[str, Any] = {"prompt": ["p", "q"], "chosen": ["a", "c"], "rejected": ["b", "d"]}


def invalid_text() -> pa.Array:
    """A column of text whose second value is a byte that is not UTF-8."""
    return pa.array([b"fine", b"caf\xe9"], pa.binary()).view(pa.utf8())


def write(path: Path, **columns: Any) -> Path:
    parquet.write_table(pa.table({**ROWS, **columns}), path)
    return path


@pytest.mark.parametrize(
    "column",
    [
        pa.array([2**62, 0], pa.timestamp("us")),
        pa.array([0, 0], pa.timestamp("us", tz="Nowhere/None")),
        invalid_text(),
    ],
    ids=["far_time", "unknown_zone", "not_utf8"],
)
def test_what_no_pair_needs_is_not_decoded(column: pa.Array, tmp_path: Path) -> None:
    path = write(tmp_path / "a.parquet", note=column)
    with pytest.raises((ValueError, OverflowError, LookupError)):
        parquet.read_table(path).to_pylist()
    texts = read_pairs(str(path))
    assert (len(texts.pairs), texts.bad) == (2, [])


def test_a_value_that_cannot_be_decoded_is_a_fault_of_its_row(tmp_path: Path) -> None:
    texts = read_pairs(str(write(tmp_path / "a.parquet", category=invalid_text())))
    assert [pair.row for pair in texts.pairs] == [0]
    (bad,) = texts.bad
    assert (bad.row, bad.kind) == (1, "unreadable value")
    assert "utf-8" in bad.fault


def test_missing_answers_name_all_columns(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({"question": ["p", "q"], "chosen": ["a", "b"]}), path)
    bad = read_pairs(str(path)).bad
    assert [each.row for each in bad] == [0, 1]
    assert bad[0].fault == "lacks `rejected` (it has question, chosen)"


def test_keys_that_arrow_adds_are_dropped(tmp_path: Path) -> None:
    calls = [[{"role": "assistant", "content": "x"}], [{"role": "assistant", "name": "n"}]]
    path = tmp_path / "a.parquet"
    parquet.write_table(pa.table({**ROWS, "chosen": calls, "rejected": calls}), path)
    assert [row["chosen"] for row in read_parquet(path, PAIR_ROWS)] == calls


def test_datasets_are_read_by_column_too(tmp_path: Path) -> None:
    import datasets

    zone = pa.array([0, 0], pa.timestamp("us", tz="Nowhere/None"))
    table = datasets.Dataset(pa.table({**ROWS, "when": zone}))
    table.save_to_disk(tmp_path / "saved")
    rows = list(load_folder(tmp_path / "saved", "train", PAIR_ROWS))
    assert rows == [{name: ROWS[name][n] for name in ROWS} for n in range(2)]


def test_what_is_not_parquet(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 nothing")
    with pytest.raises(DataError, match="is not Parquet"):
        list(read_parquet(tmp_path / "a.parquet", PAIR_ROWS))
