"""Splits of the user's files: disjoint, complete, deterministic."""

import os
from pathlib import Path

import pytest

from infinito.data.sources import SPLITS, TextFiles
from infinito.errors import ConfigError, DataError


def text_of(source, split):
    return "".join(source.pieces(split))


def numbered_lines(count: int, start: int = 0) -> str:
    return "".join(f"line number {n}\n" for n in range(start, start + count))


def write_folder(tmp_path, count: int):
    for n in range(count):
        (tmp_path / f"{n}.txt").write_text(numbered_lines(10, 10 * n))
    return tmp_path


def test_one_file_is_cut_at_line_ends_into_contiguous_pieces(tmp_path):
    text = numbered_lines(100)
    (tmp_path / "a.txt").write_text(text)
    source = TextFiles(tmp_path / "a.txt", valid_fraction=0.2, test_fraction=0.1)
    parts = [text_of(source, split) for split in SPLITS]
    assert "".join(parts) == text
    assert all(part.endswith("\n") for part in parts)
    assert [round(len(part) / len(text), 2) for part in parts] == [0.7, 0.2, 0.1]
    assert not source.separates_documents


def test_tiny_shakespeare_gives_the_standard_recipe(shared_data):
    """90 % of 1,115,394 bytes is 1,003,854; the line end before it is 18 bytes earlier."""
    path = shared_data / "tinyshakespeare/input.txt"
    source = TextFiles(path, valid_fraction=0.1, test_fraction=0)
    parts = [text_of(source, split) for split in ("train", "valid")]
    assert "".join(parts) == path.read_text()
    assert [len(part) for part in parts] == [1_003_836, 111_558]


def test_many_files_are_split_by_file(tmp_path):
    source = TextFiles(write_folder(tmp_path, 20), valid_fraction=0.2, test_fraction=0.1)
    documents = {s: ["".join(d) for d in source.documents(s)] for s in SPLITS}
    assert [len(documents[split]) for split in SPLITS] == [14, 4, 2]
    everything = [document for split in SPLITS for document in documents[split]]
    assert sorted(everything) == sorted(p.read_text() for p in tmp_path.iterdir())
    assert source.separates_documents


def test_the_side_of_a_file_does_not_depend_on_where_the_folder_lies(tmp_path):
    here, there = tmp_path / "here", tmp_path / "there" / "deeper"
    for folder in (here, there):
        folder.mkdir(parents=True)
    sources = [TextFiles(write_folder(folder, 20)) for folder in (here, there)]
    for split in SPLITS:
        first, second = (text_of(source, split) for source in sources)
        assert first == second
        assert sources[0].fingerprint(split) == sources[1].fingerprint(split)


def test_few_files_are_each_cut(tmp_path):
    source = TextFiles(write_folder(tmp_path, 3), valid_fraction=0.1, test_fraction=0.1)
    parts = {split: list(source.documents(split)) for split in SPLITS}
    assert [len(parts[split]) for split in SPLITS] == [3, 3, 3]
    lines = "".join(text_of(source, split) for split in SPLITS).splitlines()
    assert sorted(lines) == sorted(numbered_lines(30).splitlines())


def test_copies_of_a_file_are_in_no_two_splits(tmp_path):
    write_folder(tmp_path, 10)
    for n in range(10):
        (tmp_path / f"copy {n}.txt").write_text(numbered_lines(10, 10 * n))
    source = TextFiles(tmp_path, valid_fraction=0.3, test_fraction=0.3)
    texts = ["".join(d) for split in SPLITS for d in source.documents(split)]
    assert len(texts) == len(set(texts)) == 10


def test_max_bytes_drops_whole_files(tmp_path):
    size = len(numbered_lines(10))
    source = TextFiles(write_folder(tmp_path, 20), max_bytes=11 * size)
    texts = ["".join(d) for split in SPLITS for d in source.documents(split)]
    assert sum(map(len, texts)) <= 11 * size
    assert set(texts) < {path.read_text() for path in tmp_path.iterdir()}
    assert len(texts) >= 9


def test_max_bytes_ends_a_single_file_at_a_line_end(tmp_path):
    (tmp_path / "a.txt").write_text(numbered_lines(100))
    source = TextFiles(tmp_path / "a.txt", max_bytes=1000)
    text = "".join(text_of(source, split) for split in SPLITS)
    assert numbered_lines(100).startswith(text)
    assert 980 < len(text) <= 1000
    assert text.endswith("\n")


def test_the_fingerprint_follows_content_and_split_only(tmp_path):
    (tmp_path / "a.txt").write_text(numbered_lines(100))
    source = TextFiles(tmp_path / "a.txt")
    assert len({source.fingerprint(split) for split in SPLITS}) == 3
    (tmp_path / "renamed.txt").write_text(numbered_lines(100))
    same = TextFiles(tmp_path / "renamed.txt")
    assert same.fingerprint("train") == source.fingerprint("train")
    (tmp_path / "other.txt").write_text(numbered_lines(100).replace("99", "98"))
    other = TextFiles(tmp_path / "other.txt")
    assert other.fingerprint("train") == source.fingerprint("train")
    assert other.fingerprint("test") != source.fingerprint("test")


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf"], ids=["nothing", "byte order mark"])
def test_an_empty_file_is_named(tmp_path, content):
    (tmp_path / "a.txt").write_bytes(content)
    with pytest.raises(DataError, match=r"a\.txt is empty\. .*data\.path"):
        list(TextFiles(tmp_path / "a.txt").documents("train"))


def test_empty_files_of_a_folder_are_named_and_skipped(tmp_path, caplog):
    source = TextFiles(write_folder(tmp_path, 20), valid_fraction=0.2, test_fraction=0.1)
    expected = {split: source.fingerprint(split) for split in SPLITS}
    (tmp_path / "00.txt").touch()
    (tmp_path / "gone.txt").symlink_to(tmp_path / "nothing")
    again = TextFiles(tmp_path, valid_fraction=0.2, test_fraction=0.1)
    assert {split: again.fingerprint(split) for split in SPLITS} == expected
    assert caplog.messages == [
        f"data.path={tmp_path}: skipped {tmp_path}/00.txt (empty), "
        f"{tmp_path}/gone.txt (leads nowhere)"
    ]


def test_a_file_whose_name_is_not_utf8_is_read(tmp_path):
    write_folder(tmp_path, 20)
    os.rename(tmp_path / "3.txt", os.fsencode(tmp_path) + b"/caf\xe9.txt")
    source = TextFiles(tmp_path)
    lines = "".join(text_of(source, split) for split in SPLITS).splitlines()
    assert sorted(lines) == sorted(numbered_lines(200).splitlines())
    assert all(len(source.fingerprint(split)) == 64 for split in SPLITS)


def test_a_text_too_short_to_split_says_which_split_is_empty(tmp_path):
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match=r"The valid split of .*a\.txt is empty"):
        list(TextFiles(tmp_path / "a.txt").documents("valid"))


def test_a_split_that_was_not_wanted_names_the_override(tmp_path):
    (tmp_path / "a.txt").write_text(numbered_lines(100))
    source = TextFiles(tmp_path / "a.txt", test_fraction=0)
    with pytest.raises(DataError, match=r"no test split, because data\.test_fraction=0.*=0\.1"):
        list(source.documents("test"))


@pytest.mark.parametrize(("valid", "test"), [(0.5, 0.5), (-0.1, 0.1), (1.0, 0.0)])
def test_impossible_fractions_are_refused(valid, test):
    with pytest.raises(ConfigError, match=r"add up to less than 1"):
        TextFiles("a.txt", valid_fraction=valid, test_fraction=test)


def test_each_file_of_a_split_has_a_hash(tmp_path: Path) -> None:
    for number in range(10):
        (tmp_path / f"{number}.txt").write_text(f"text number {number}\n")
    before = TextFiles(tmp_path).file_hashes("train")
    assert len(before) == 8
    path = next(iter(before))
    assert Path(path).is_absolute()
    Path(path).write_text("text number x\n")
    after = TextFiles(tmp_path).file_hashes("train")
    assert {each for each in before if before[each] != after[each]} == {path}
