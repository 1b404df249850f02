"""A hub that cannot be reached is reported at once."""

import time

import pytest
from huggingface_hub import constants

from infinito.errors import HubError
from infinito.hub import model_folder, names_a_folder, require_hub


@pytest.mark.usefixtures("closed_hub")
def test_an_unreachable_hub_is_an_error_within_seconds():
    started = time.monotonic()
    with pytest.raises(HubError, match=r"tokenizer a/b: .*tokenizer\.path=<folder>.*OFFLINE=1"):
        require_hub("tokenizer a/b", "tokenizer.path=<folder>")
    assert time.monotonic() - started < 10  # the libraries take 20 to 50


@pytest.mark.usefixtures("closed_hub")
def test_offline_mode_leaves_the_answer_to_the_libraries(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    require_hub("tokenizer a/b", "tokenizer.path=<folder>")


def test_a_model_that_is_not_in_the_cache_offline(monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        HubError, match=r"model a/b: [^\n]*[^.]\. Use a local copy with model\.path=<folder>\.$"
    ):
        model_folder("a/b")


@pytest.mark.parametrize("name", ["./a", "../a", "/a/b", "~/a", "a/b/c", "C:\\a"])
def test_names_of_folders(name):
    assert names_a_folder(name)


def test_a_name_that_exists_here_is_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert not names_a_folder("owner/name")
    (tmp_path / "owner" / "name").mkdir(parents=True)
    assert names_a_folder("owner/name")
