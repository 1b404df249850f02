"""JSON is read in bounded memory, and a row that cannot be read costs no other row."""

from __future__ import annotations

import gzip
import json
import tracemalloc
from pathlib import Path

import pytest

from infinito.data.conversations.rows import json_text
from infinito.data.conversations.rows.faults import RowFault
from infinito.data.conversations.rows.json_text import read_json, read_json_lines
from infinito.errors import DataError
from infinito.preferences.pairs.pair_set import read_pairs
from infinito.preferences.pairs.rows.columns import PAIR_ROWS

GOOD = b'{"prompt": "p", "chosen": "a", "rejected": "b"}'


def row_of(**changes: object) -> bytes:
    return json.dumps({"prompt": "p", "chosen": "a", "rejected": "b", **changes}).encode()


@pytest.mark.parametrize(
    ("row", "kind", "message"),
    [
        (row_of(chosen="x\ud83d"), "not Unicode", r"half a character \(U\+D83D\) at character 1"),
        (row_of(category="\ud83d"), "not Unicode", "of `category`"),
        (row_of(chosen="caf_").replace(b"_", b"\xe9"), "not Unicode", "byte 0xe9 at character 3"),
        (b'{"prompt"\xe9: 1}', "not JSON", "column 10"),
        (row_of(weight=0).replace(b" 0}", b" " + b"9" * 5000 + b"}"), "weight", "`weight`=inf"),
        (row_of(weight=10**400), "weight", "`weight`=1000"),
        (row_of(chosen=0).replace(b" 0,", b"[" * 9999 + b"]" * 9999 + b","), "nested", "deeply"),
        (b"[1]", "not an object", "is list"),
        (b"", "", ""),
    ],
)
@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz"])
def test_a_bad_line_is_a_bad_row_with_its_number(
    row: bytes, kind: str, message: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    content = b"\xef\xbb\xbf" + GOOD + b"\r\n" + row + b"\n" + GOOD
    path.write_bytes(gzip.compress(content) if suffix.endswith(".gz") else content)
    texts = read_pairs(str(path))
    if not row:  # a blank line is no row
        assert [pair.row for pair in texts.pairs] == [0, 1]
        return
    assert [pair.row for pair in texts.pairs] == [0, 2]
    (bad,) = texts.bad
    assert bad.row == 1
    assert bad.kind.startswith(kind)
    with pytest.raises(RowFault, match=message):
        raise RowFault(bad.kind, bad.fault, bad.mend)


def test_bytes_and_halves_in_a_json_file_are_faults_of_their_row(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"[" + b", ".join([GOOD, row_of(chosen="\ud83d"), GOOD, row_of()]) + b"]")
    path.write_bytes(path.read_bytes().replace(b'"b"}]', b'"caf\xe9"}]'))
    texts = read_pairs(str(path))
    assert [pair.row for pair in texts.pairs] == [0, 2]
    assert [(bad.row, bad.kind) for bad in texts.bad] == [(1, "not Unicode"), (3, "not Unicode")]


def test_half_a_character_in_a_column_that_is_not_read_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(row_of(note="\ud83d") + b"\n")
    assert not read_pairs(str(path)).bad


def test_a_line_without_an_end_is_skipped_in_bounded_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_text, "LONGEST_LINE", 1 << 16)
    path = tmp_path / "a.jsonl"
    path.write_bytes(GOOD + b"\n" + b'{"prompt": "' + b"x" * (1 << 24) + b'"}\n' + GOOD)
    tracemalloc.start()
    first, long, last = read_json_lines(path, PAIR_ROWS)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert first == last == json.loads(GOOD)
    assert isinstance(long, RowFault)
    assert "more than 65,536 characters" in long.fault
    assert peak < 1 << 21


def test_a_json_file_that_is_too_large_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_text, "LARGEST_JSON", 20)
    path = tmp_path / "a.json"
    path.write_bytes(b"[" + GOOD + b"]")
    with pytest.raises(DataError, match=r"more than 20 characters.*jq -c .* a\.json > a\.jsonl"):
        list(read_json(path, PAIR_ROWS))


def test_a_json_file_that_is_nested_too_deeply_names_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(b"[" * 99999)
    with pytest.raises(DataError, match=r"nested too deeply.*\.jsonl"):
        list(read_json(path, PAIR_ROWS))


def test_utf_16_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text(GOOD.decode(), encoding="utf-16")
    with pytest.raises(DataError, match=r"it is UTF-16\. Convert it"):
        list(read_json_lines(path, PAIR_ROWS))
