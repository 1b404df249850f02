"""WikiText-2 from a folder, and the rows of the hub made into the same lines."""

import pytest

from infinito.data.sources import WikiText2
from infinito.data.sources.wikitext2 import FILE_NAMES, restore_lines
from infinito.errors import DataError, HubError

TEXT = " \n = Title = \n \n a <unk> line \n"


@pytest.mark.parametrize("form", [0, -2])
def test_a_folder_under_either_set_of_names(tmp_path, form):
    for split, names in FILE_NAMES.items():
        (tmp_path / names[form]).write_text(f"{TEXT} {split} \n")
    source = WikiText2(tmp_path)
    for split in FILE_NAMES:
        assert "".join(source.pieces(split)) == f"{TEXT} {split} \n"
    assert len({source.fingerprint(split) for split in FILE_NAMES}) == 3


def test_a_missing_test_split_matters_only_when_asked_for(shared_data):
    source = WikiText2(shared_data / "wikitext-2")
    lines = "".join(source.pieces("valid")).count("\n")
    assert lines == 3760
    with pytest.raises(DataError, match=r"has no test split: expected .*test\.txt.*data\.path="):
        source.fingerprint("test")


def test_max_bytes_shortens_the_training_split_only(tmp_path):
    for split in ("train", "valid"):
        (tmp_path / f"{split}.txt").write_text(TEXT * 100)
    source = WikiText2(tmp_path, max_bytes=1000)
    train = "".join(source.pieces("train"))
    assert 980 < len(train) <= 1000
    assert train.endswith("\n")
    assert "".join(source.pieces("valid")) == TEXT * 100


def test_rows_of_the_hub_become_the_lines_of_the_files():
    """The hub has "" where the files have a line of one space."""
    rows = ["", " = Title = \n", "", " a <unk> line \n"]
    assert "".join(restore_lines(rows)) == TEXT
    assert "".join(restore_lines(rows, max_bytes=16)) == " \n = Title = \n \n"


def test_a_missing_folder_is_not_taken_for_a_hub_id(tmp_path):
    with pytest.raises(DataError, match=r"is no folder.*Salesforce/wikitext"):
        list(WikiText2(tmp_path / "no").documents("train"))


@pytest.mark.usefixtures("closed_hub")
def test_an_unreachable_hub_names_the_local_override():
    with pytest.raises(HubError, match=r"data set Salesforce/wikitext: .*data\.path=<folder"):
        list(WikiText2().pieces("train"))
