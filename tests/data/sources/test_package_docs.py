"""Docstrings of installed packages: what is there, nothing twice, no docstring in two splits."""

from __future__ import annotations

import hashlib
import sys
from pathlib import Path

import pytest

from infinito.cli.composition import check
from infinito.data.sources import SPLITS, PythonDocs
from infinito.data.sources.package_docs import (
    PACKAGES,
    describe_versions,
    drop_near_repeats,
    find_packages,
)
from infinito.errors import ConfigError, DataError
from infinito.paths import conf_dir

WORDS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
]


def text_about(subject: str, count: int = 40) -> str:
    return " ".join(f"{subject}{n} {WORDS[n % 12]}" for n in range(count))


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two packages on the path: 30 modules that differ, and one that repeats some of them."""
    for n in range(30):
        module = tmp_path / "first_docs" / f"part{n}.py"
        module.parent.mkdir(exist_ok=True)
        module.write_text(
            f'"""{text_about(f"a{n}x")}"""\ndef f():\n    """{text_about(f"b{n}x")}"""\n'
        )
    (tmp_path / "first_docs/__init__.py").touch()
    (tmp_path / "first_docs/tests").mkdir()
    (tmp_path / "first_docs/tests/test_a.py").write_text(f'"""{text_about("hidden")}"""')
    (tmp_path / "second_docs").mkdir()
    repeated = text_about("a3x") + " and some words of its own"
    (tmp_path / "second_docs/__init__.py").write_text(
        f'"""{text_about("own")}\n\n{repeated}\n\n{text_about("b4x")}"""\nraise RuntimeError\n'
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def texts(source: PythonDocs, split: str) -> list[str]:
    return ["".join(document) for document in source.documents(split)]  # type: ignore[arg-type]


@pytest.mark.usefixtures("installed")
def test_packages_are_read_without_importing_them(tmp_path: Path) -> None:
    source = PythonDocs("packages", packages=["second_docs", "first_docs"], cache_dir=tmp_path)
    everything = "\n".join(text for split in SPLITS for text in texts(source, split))
    assert "second_docs" not in sys.modules
    assert "own0 one" in everything
    assert "hidden" not in everything
    assert everything.count("a3x0 one") == 1
    assert everything.count("b4x0 one") == 1


@pytest.mark.usefixtures("installed")
def test_modules_are_split_so_that_no_docstring_is_on_both_sides() -> None:
    source = PythonDocs("packages", packages=["first_docs"], valid_fraction=0.3, test_fraction=0.2)
    by_split = {split: texts(source, split) for split in SPLITS}
    assert all(by_split.values())
    for n in range(30):
        sides = {
            s for s in SPLITS for text in by_split[s] if f"a{n}x0 " in text or f"b{n}x0 " in text
        }
        assert len(sides) == 1


def test_all_holds_what_both_holds(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = installed / "library"
    library.mkdir()
    (library / "shared.py").write_text(f'"""{text_about("a5x", 60)}"""')
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(library))
    both, everything = (
        {text for split in SPLITS for text in source._by_split[split]}
        for source in (PythonDocs("both"), PythonDocs("all", packages=["first_docs"]))
    )
    assert both < everything
    assert sum("a5x0 " in text for text in everything) == 1


def test_the_old_parts_give_the_bytes_they_always_gave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hash was made by the version before packages could be read."""
    for n in range(20):
        (tmp_path / f"m{n}.py").write_text(f'"""{text_about(f"m{n}x")}\n\n{text_about("again")}"""')
    monkeypatch.setitem(sys.modules, "pydoc_data.topics", None)
    monkeypatch.setattr("sysconfig.get_path", lambda _: str(tmp_path))
    sources = (PythonDocs("both"), PythonDocs("docstrings"))
    found = [source.fingerprint(split) for source in sources for split in SPLITS]
    assert hashlib.sha256("".join(found).encode()).hexdigest() == EXPECTED


EXPECTED = "9cb82f2d3b1f8620073f1cfa5d4b3ccefc35ea1dfefcac16e4645eb9d7581fe2"


def test_a_package_that_is_not_installed_is_named() -> None:
    for name in ("no_such_package", "not-a-name", "json.tool"):
        with pytest.raises(DataError, match=rf"names {name}, which.*data\.packages=null"):
            PythonDocs("packages", packages=[name, "numpy"])


def test_what_is_installed_is_described_with_its_version() -> None:
    packages = find_packages(None)
    assert set(packages) <= set(PACKAGES)
    assert {"numpy", "torch", "scipy"} <= set(packages)
    import torch

    assert f"torch {torch.__version__}" in describe_versions(packages)
    assert "torch" in PythonDocs("packages").description


def test_a_paragraph_that_differs_by_a_name_is_a_repeat() -> None:
    sentence = "This {} reads the configuration that its own folder holds and then {}."
    family = [
        sentence.format(f"Model{n}", "returns a model with all of its weights") for n in range(3)
    ]
    documents = {
        f"d{n}": [("title", f"{text}\n\n{text_about(f'q{n}q')}")] for n, text in enumerate(family)
    }
    kept = drop_near_repeats(documents)
    assert ["This" in kept[name][0][1] for name in ("d0", "d1", "d2")] == [True, False, False]
    assert all(f"q{n}q0" in kept[f"d{n}"][0][1] for n in range(3))
    kept = drop_near_repeats(documents, earlier=[family[1]])
    assert not any("This" in sections[0][1] for sections in kept.values())


def test_paragraphs_of_a_few_words_stay() -> None:
    kept = drop_near_repeats({"a": [("", "Returns: text.")], "b": [("", "Returns: text.")]})
    assert [sections[0][1] for sections in kept.values()] == ["Returns: text."] * 2


def test_packages_without_their_part_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"`data\.packages` is not read by `data\.parts`=both"):
        check(["data=python_docs", "data.packages=[numpy]"], conf_dir())
    with pytest.raises(ConfigError, match=r"`data\.packages` is empty"):
        check(["data.parts=all", "data.packages=[]"], conf_dir())
