"""Rows come out of every format alike, and what cannot be read says so."""

from __future__ import annotations

import gzip
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from infinito.data.conversations.rows.faults import RowFault
from infinito.data.conversations.rows.reading import read_rows
from infinito.errors import DataError, HubError
from infinito.preferences.pairs.rows.columns import PAIR_ROWS

ROWS = [{"prompt": f"p{n}", "chosen": f"é{n}", "rejected": f"b{n}"} for n in range(3)]


def write(folder: Path, name: str) -> Path:
    path = folder / name
    lines = "\n".join(json.dumps(row) for row in ROWS) + "\n\n"
    if name.endswith(".parquet"):
        import pyarrow as pa
        from pyarrow import parquet

        parquet.write_table(pa.Table.from_pylist(ROWS), path)
    elif name == "saved":
        import datasets

        datasets.Dataset.from_list(ROWS).save_to_disk(path)
    elif name == "split":
        import datasets

        datasets.DatasetDict({"test": datasets.Dataset.from_list(ROWS)}).save_to_disk(path)
    else:
        text = (
            lines if "jsonl" in name else json.dumps({"data": ROWS} if "wrapped" in name else ROWS)
        )
        opened: Any = gzip.open if name.endswith(".gz") else open
        with opened(path, "wt", encoding="utf-8") as file:
            file.write(text)
    return path


@pytest.mark.parametrize(
    "name", ["a.jsonl", "a.jsonl.gz", "a.json", "wrapped.json", "a.json.gz", "a.parquet", "saved"]
)
def test_every_format_gives_the_same_rows(name: str, tmp_path: Path) -> None:
    assert list(read_rows(str(write(tmp_path, name)), PAIR_ROWS)) == ROWS


def test_a_part_of_a_saved_dataset(tmp_path: Path) -> None:
    path = str(write(tmp_path, "split"))
    assert list(read_rows(path, PAIR_ROWS, "test")) == ROWS
    with pytest.raises(DataError, match="has no part train; it has test"):
        list(read_rows(path, PAIR_ROWS))


def test_lines_that_are_no_objects_are_faults_of_their_row(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"prompt": 1}\n{"prompt"\n[1]\n')
    first, second, third = read_rows(str(path), PAIR_ROWS)
    assert first == {"prompt": 1}
    assert isinstance(second, RowFault)
    assert "not JSON" in second.fault
    assert isinstance(third, RowFault)
    assert "is list, not an object" in third.fault


DAMAGED = gzip.compress(b'{"prompt": "a"}\n' * 99, mtime=0)[:14] + b"\xff" * 20


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl.gz", b"plain", "cannot be read"),
        ("a.jsonl.gz", DAMAGED, "cannot be read"),
        ("a.jsonl", b"\xff\xfe", "cannot be read"),
        ("a.json", b"{}\n{}", "is not JSON"),
        ("a.json", b"3", "expected a list of objects"),
        ("a.parquet", b"plain", "is not Parquet"),
        ("a.csv", b"x", "files of pairs end in"),
    ],
)
def test_files_that_cannot_be_read(name: str, content: bytes, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        list(read_rows(str(tmp_path / name), PAIR_ROWS))


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="does not exist"):
        list(read_rows(str(tmp_path / "absent.jsonl"), PAIR_ROWS))
    with pytest.raises(DataError, match="does not exist"):
        list(read_rows("absent.jsonl", PAIR_ROWS))
    (tmp_path / "folder").mkdir()
    with pytest.raises(DataError, match="is no dataset"):
        list(read_rows(str(tmp_path / "folder"), PAIR_ROWS))


def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.jsonl")
    Path(path).write_text(json.dumps(ROWS[0]))
    with pytest.raises(DataError, match=r"caf\\udce9.jsonl: the name is not UTF-8. Rename"):
        list(read_rows(path, PAIR_ROWS))


def test_a_hub_id_without_a_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import datasets
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match=r"pairs nobody/nothing.*data.path=<file or folder"):
        list(read_rows("nobody/nothing", PAIR_ROWS))


@pytest.mark.parametrize("name", ["absent.jsonl", "x.parquet", "x.txt", "folder"])
def test_the_key_that_named_a_file_is_named(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "folder":
        path.mkdir()
    elif not name.startswith("absent"):
        path.write_bytes(b"\xff\x00")
    with pytest.raises(DataError, match=r"`data\.held_out_path`=.*" + re.escape(name)):
        list(read_rows(str(path), PAIR_ROWS, key="data.held_out_path"))
