"""Texts that are mixed: their shares, their splits, and the errors of each."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from infinito.cli.composition import check
from infinito.data.assembly import build_source
from infinito.data.sources.mixed_text import MixedText
from infinito.data.sources.source import Split
from infinito.errors import ConfigError, DataError
from infinito.paths import conf_dir

SMALL = [f"note {number}: a small text" for number in range(40)]
LARGE = [f"page {number} of a text that is larger than the other one" for number in range(400)]


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """A file of rows, and a folder of plain text."""
    rows = tmp_path / "small.jsonl"
    rows.write_text("".join(json.dumps({"text": each}) + "\n" for each in SMALL))
    folder = tmp_path / "large"
    folder.mkdir()
    for number, each in enumerate(LARGE):
        (folder / f"{number}.txt").write_text(each)
    return [str(rows), str(folder)]


def mix(paths: list[str], **settings: object) -> MixedText:
    words = [f"data.{key}={value}" for key, value in settings.items()]
    listed = ",".join(paths)
    conf = check(["data=mixture", f"data.paths=[{listed}]", *words], conf_dir())
    source = build_source(conf)
    assert isinstance(source, MixedText)
    return source


def texts(source: MixedText, split: Split) -> list[str]:
    return ["".join(document) for document in source.documents(split)]


def share_of_small(source: MixedText) -> float:
    sizes: Mapping[bool, list[int]] = {True: [], False: []}
    for text in texts(source, "train"):
        sizes[text.startswith("note")].append(len(text))
    return sum(sizes[True]) / (sum(sizes[True]) + sum(sizes[False]))


@pytest.mark.parametrize("weights", [(1, 1), (3, 1), (0.1, 0.9), (2, 30)])
def test_texts_have_their_shares_and_none_is_left_out(
    files: list[str], weights: tuple[float, float]
) -> None:
    source = mix(files, weights=list(weights))
    assert share_of_small(source) == pytest.approx(weights[0] / sum(weights), abs=0.01)
    plain = mix(files)
    assert set(texts(source, "train")) == set(texts(plain, "train"))
    assert min(source.count_passes()) == 1


def test_without_weights_each_text_is_read_once(files: list[str]) -> None:
    source = mix(files)
    found = [text for split in ("train", "valid", "test") for text in texts(source, split)]
    assert sorted(found) == sorted(SMALL + LARGE)


def test_weights_change_the_training_split_alone(files: list[str]) -> None:
    one, other = mix(files, weights=[1, 1]), mix(files, weights=[3, 1])
    assert one.fingerprint("train") != other.fingerprint("train")
    for split in ("valid", "test"):
        assert texts(one, split) == texts(other, split)
        assert one.fingerprint(split) == other.fingerprint(split)
    assert one.fingerprint("train") == mix(files, weights=[2, 2]).fingerprint("train")


def test_bytes_that_are_announced_are_about_those_that_are_read(files: list[str]) -> None:
    source = mix(files, weights=[7, 2])
    read = sum(len(text.encode()) for text in texts(source, "train"))
    assert source.utf8_bytes("train") == pytest.approx(read, abs=100)


def test_one_long_document_is_cut_within_its_last_pass(tmp_path: Path) -> None:
    """A book is one document of many pages: half a pass ends in its middle."""
    for name, lines in (("book", 20_000), ("diary", 30_000)):
        (tmp_path / f"{name}.txt").write_text(f"a line of the {name:5}\n" * lines)
    paths = [str(tmp_path / "book.txt"), str(tmp_path / "diary.txt")]
    source = mix(paths, weights=[1, 1])
    read = sum(len(text) for text in texts(source, "train") if "book" in text)
    assert source.count_passes() == pytest.approx([1.5, 1])
    assert read == pytest.approx(0.8 * 20_000 * 20 * 1.5, rel=0.1)


def test_a_share_that_repeats_a_text_too_often_is_refused(files: list[str]) -> None:
    source = mix(files, weights=[1000, 1])
    with pytest.raises(DataError, match=r"small\.jsonl [\d,]+ times in an epoch.*smaller weight"):
        source.fingerprint("train")


def test_a_text_that_is_not_there_names_the_list(files: list[str]) -> None:
    source = mix([files[0], "nowhere.txt"])
    with pytest.raises(DataError, match=r"data\.paths=nowhere\.txt does not exist"):
        source.fingerprint("train")
    source = mix(files, column="body")
    with pytest.raises(DataError, match=r"has no column body; it has text"):
        list(source.documents("train"))


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "mixes two texts or more"),
        (["data.paths=[a.txt]"], "mixes two texts or more"),
        (["data.paths=[a.txt,b.txt]", "data.weights=[1]"], "has 1 numbers for 2 texts"),
        (["data.paths=[a.txt,b.txt]", "data.weights=[1,0]"], "data.weights"),
        (["data.path=a.txt"], "data.path"),
    ],
)
def test_a_mixture_that_cannot_be_is_refused(words: list[str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        check(["data=mixture", *words], conf_dir())


def test_a_record_names_the_files(files: list[str]) -> None:
    found = mix(files, weights=[1, 1]).file_hashes("valid")
    assert all(path.endswith(".txt") for path in found)
    assert len(found) == pytest.approx(40, abs=2)
