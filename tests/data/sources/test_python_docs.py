"""The reference text of this Python: real, disjoint, stable, and extracted once."""

import re
import sys

import pytest

from infinito.data.sources import SPLITS, PythonDocs
from infinito.data.sources.python_docs import REPEATABLE_CHARACTERS, drop_repeats
from infinito.errors import DataError


@pytest.fixture(scope="module")
def docs(docs_cache):
    return PythonDocs(cache_dir=docs_cache)


def texts(source, split):
    return ["".join(document) for document in source.documents(split)]


def test_there_is_enough_english_to_train_on(docs):
    train = "".join(docs.pieces("train"))
    assert len(train.encode()) > 1_000_000
    assert train.count(" the ") > 5000
    assert "The class statement" in train or "class definition" in train


def test_every_split_has_documents_in_about_its_share(docs):
    counts = [len(texts(docs, split)) for split in SPLITS]
    assert sum(counts) > 300
    assert all(0.05 < count / sum(counts) < 0.15 for count in counts[1:])


def test_no_paragraph_is_in_two_documents(docs):
    owner: dict[str, str] = {}
    for text in (text for split in SPLITS for text in texts(docs, split)):
        for paragraph in text.split("\n\n"):
            words = " ".join(paragraph.split())
            if len(words) >= REPEATABLE_CHARACTERS:
                assert owner.setdefault(words, text) is text
    assert len(owner) > 10_000


def test_documents_end_with_a_line_end_and_start_with_text(docs):
    for split in SPLITS:
        assert all(re.fullmatch(r"\S.*\n", text, re.DOTALL) for text in texts(docs, split))


def test_parts_are_disjoint_and_make_up_both(docs_cache):
    topics, docstrings = (PythonDocs(p, cache_dir=docs_cache) for p in ("topics", "docstrings"))
    assert "Assignment statements" in "".join("".join(topics.pieces(split)) for split in SPLITS)
    assert all(len(texts(topics, s)) > 0 for s in SPLITS)
    assert topics.fingerprint("train") != docstrings.fingerprint("train")


def test_the_second_reading_comes_from_the_cache(docs, docs_cache, monkeypatch):
    expected = {split: docs.fingerprint(split) for split in SPLITS}
    again = PythonDocs(cache_dir=docs_cache)
    monkeypatch.setattr(again, "_extracted", lambda: pytest.fail("extracted again"))
    assert {split: again.fingerprint(split) for split in SPLITS} == expected


def test_a_damaged_cache_is_extracted_anew(tmp_path):
    expected = PythonDocs("topics", cache_dir=tmp_path).fingerprint("train")
    (file,) = (tmp_path / "python_docs").glob("*.json")
    content = bytearray(file.read_bytes())
    content[500] ^= 1
    file.write_bytes(content)
    assert PythonDocs("topics", cache_dir=tmp_path).fingerprint("train") == expected
    assert file.read_bytes() != content


def test_max_bytes_leaves_out_whole_documents_of_every_split(docs, docs_cache):
    short = PythonDocs(cache_dir=docs_cache, max_bytes=500_000)
    total = 0
    for split in SPLITS:
        some = texts(short, split)
        assert set(some) < set(texts(docs, split))
        assert len(some) > 1
        total += sum(len(text.encode()) for text in some)
    assert 400_000 < total <= 500_000


def test_a_split_without_documents_is_an_error(docs_cache):
    source = PythonDocs("topics", cache_dir=docs_cache, max_bytes=10)
    with pytest.raises(DataError, match=r"The train split .*data\.max_bytes"):
        list(source.documents("train"))


def test_a_python_without_docs_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    with pytest.raises(
        DataError, match=r"carries no reference text \(both\).*data=text data\.path="
    ):
        PythonDocs().fingerprint("train")


def test_repeats_stay_in_the_longest_document_and_titles_go_with_their_text():
    shared = "a paragraph that is long enough to count as a repeat"
    documents = {
        "short": [("short.a", shared), ("short.b", "own words " * 30)],
        "long": [("", shared + "\n\n" + "other words " * 60)],
        "tiny": [("tiny", "too small to keep")],
    }
    kept = drop_repeats(documents)
    assert list(kept) == ["long", "short"]
    assert kept["long"].startswith(shared)
    assert kept["short"] == "short.b\n\n" + ("own words " * 30).strip() + "\n"
