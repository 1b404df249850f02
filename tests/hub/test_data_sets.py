"""Data sets of the hub: the right revision, and a sentence for each way to fail."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence

import pytest

from infinito.data.conversations.rows.reading import read_rows
from infinito.data.sources.hub_text import HubText
from infinito.data.sources.wikitext2 import WikiText2
from infinito.errors import HubError
from infinito.preferences.pairs.rows.columns import PAIR_ROWS
from tests.hub.conftest import be_patient
from tests.hub.repositories import Fault
from tests.hub.server import Hub

pytest.importorskip("datasets")

ROWS = [f"row {number} of the text\n" for number in range(40)]


def parquet(texts: Sequence[str]) -> bytes:
    """Return a Parquet file of one column, `text`."""
    import pyarrow as pa
    from pyarrow import parquet as files

    buffer = io.BytesIO()
    files.write_table(pa.table({"text": list(texts)}), buffer)
    return buffer.getvalue()


def json_lines(rows: Sequence[object]) -> bytes:
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


@pytest.fixture
def data_set(hub: Hub) -> Hub:
    """A hub with the data set a/texts."""
    files = {"README.md": b"# texts", "data/train-00000-of-00001.parquet": parquet(ROWS)}
    hub.repository("dataset", "a/texts").commit(files)
    return hub


def read(source: HubText) -> list[str]:
    return ["".join(pieces) for pieces in source.documents("train")]


def source(path: str = "a/texts", **options: str) -> HubText:
    return HubText(path, valid_fraction=1e-9, test_fraction=0.0, **options)  # type: ignore[arg-type]


def test_rows_come_of_the_revision_that_is_chosen(data_set: Hub) -> None:
    assert read(source()) == ROWS
    repository = data_set.repository("dataset", "a/texts")
    first = repository.refs["main"]
    repository.commit({"data/train-00000-of-00001.parquet": parquet(["new"])}, "next")
    assert read(source(revision="next")) == ["new"]
    assert read(source(revision=first)) == ROWS


Arrange = Callable[[Hub], object]

FAULTS: dict[str, tuple[Arrange, str]] = {
    "missing": (
        lambda hub: hub.repositories.clear(),
        r"the data set a/texts: no data set of that name is there, or it is private\. Check the "
        r"spelling of data\.path; .*local copy with data\.path=<file or folder>\.$",
    ),
    "gated": (
        lambda hub: hub.gated.add("a/texts"),
        r"only to those who accepted its terms\. Accept its terms at http.*/datasets/a/texts and",
    ),
    "script": (
        lambda hub: hub.repository("dataset", "a/texts").commit({"texts.py": b"raise SystemExit"}),
        r"a script makes it, which infinito never runs\. Use .*data\.revision=refs/convert/parquet",
    ),
    "no_files": (
        lambda hub: hub.repository("dataset", "a/texts").commit({"picture.xyz": b"?"}),
        r"it holds no files that `datasets` reads",
    ),
    "parts": (
        lambda hub: hub.repository("dataset", "a/texts").commit(
            {
                "README.md": b"---\nconfigs:\n- config_name: de\n  data_files: de.parquet\n"
                b"- config_name: en\n  data_files: en.parquet\n---\n",
                "de.parquet": parquet(["a"]),
                "en.parquet": parquet(["b"]),
            }
        ),
        r"Config name is missing.*'de', 'en'.*Choose one with data\.subset=<name>",
    ),
    "rate_limited": (
        lambda hub: hub.faults.append(Fault("/api/datasets", 429, {"Retry-After": "9"})),
        r"too many requests from here\. Wait 9 seconds",
    ),
    "drops": (
        lambda hub: hub.faults.append(Fault(".parquet", drop_after=50, method="GET")),
        r"the connection was lost|no answer came in time",
    ),
    "stalls": (
        lambda hub: hub.faults.append(Fault(".parquet", stall_after=50, method="GET")),
        r"no answer came in time",
    ),
    "not_parquet": (
        lambda hub: hub.repository("dataset", "a/texts").commit({"train.parquet": b"no parquet"}),
        r"the data set a/texts: .*Parquet",
    ),
}


SLOW = {"drops", "stalls"}  # the libraries pause between their tries


@pytest.mark.parametrize(
    "case", [pytest.param(each, marks=[pytest.mark.slow] * (each in SLOW)) for each in FAULTS]
)
def test_what_goes_wrong_with_a_data_set(
    data_set: Hub, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    arrange, sentence = FAULTS[case]
    arrange(data_set)
    if case in SLOW:
        be_patient(monkeypatch, 3)
    with pytest.raises(HubError, match=sentence):
        read(source())


def test_a_part_that_is_not_there(data_set: Hub) -> None:
    with pytest.raises(HubError, match=r"BuilderConfig 'fr' not found.*data\.subset=<name>"):
        read(source(subset="fr"))
    assert data_set.requests


def test_wikitext_is_read_at_a_revision(hub: Hub) -> None:
    repository = hub.repository("dataset", "me/wiki")
    first = repository.commit({"train.parquet": parquet(["", " a b \n"])})
    repository.commit({"train.parquet": parquet(["other"])})
    assert "".join(WikiText2("me/wiki", revision=first).pieces("train")) == " \n a b \n"


def test_pairs_are_read_at_a_revision(hub: Hub) -> None:
    pair = {"prompt": "p", "chosen": "c", "rejected": "r"}
    repository = hub.repository("dataset", "me/pairs")
    first = repository.commit({"train.jsonl": json_lines([pair])})
    repository.commit({"train.jsonl": json_lines([{**pair, "chosen": "new"}])})
    assert list(read_rows("me/pairs", PAIR_ROWS, revision=first)) == [pair]
    assert list(read_rows("me/pairs", PAIR_ROWS)) == [{**pair, "chosen": "new"}]
    with pytest.raises(
        HubError, match=r"pairs me/no: .*spelling of data\.held_out_path.*local copy"
    ):
        list(read_rows("me/no", PAIR_ROWS, key="data.held_out_path"))
