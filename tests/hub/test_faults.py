"""A sentence for each way in which a hub does not deliver a model, and none that waits long."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from huggingface_hub import constants

from infinito.errors import HubError
from infinito.hub import Wanted, downloading, model_folder, patience
from tests.hub.conftest import be_patient
from tests.hub.repositories import Fault
from tests.hub.server import Hub

FILES = {"config.json": b"{}", "model.safetensors": b"weights " * 1000}
WEIGHTS = "resolve/"
INFO = "/api/models/a/b"


@pytest.fixture
def model(hub: Hub) -> Hub:
    """A hub with one model, a/b."""
    hub.repository("model", "a/b").commit(FILES)
    return hub


def log_in(monkeypatch: pytest.MonkeyPatch, token: str) -> None:
    monkeypatch.setenv("HF_TOKEN", token)


Arrange = Callable[[Hub], object]

ANSWERS: dict[str, tuple[Arrange, str | None, str]] = {
    "missing": (
        lambda hub: hub.repositories.clear(), None,
        r"the model a/b: no model of that name is there, or it is private\. Check the spelling of "
        r"model\.path; for a private one, log in with `hf auth login` or set HF_TOKEN, or use a "
        r"local copy with model\.path=<folder>\.$",
    ),
    "missing_with_a_token": (
        lambda hub: hub.repositories.clear(), "hf_right",
        r"no model of that name is there, or the token of this machine may not read it",
    ),
    "private": (
        lambda hub: hub.private.add("a/b"), None,
        r"or it is private.*log in with `hf auth login`",
    ),
    "gated": (
        lambda hub: hub.gated.add("a/b"), None,
        r"only to those who accepted its terms\. Accept its terms at http://127.*/a/b and log in",
    ),
    "gated_with_a_token": (
        lambda hub: hub.gated.add("a/b"), "hf_right",
        r"Accept its terms at http://127.*/a/b with the account of this machine's token",
    ),
    "wrong_token": (
        lambda _: None, "hf_wrong",
        r"it refuses the token of this machine\. Renew it with `hf auth login`, or unset HF_TOKEN",
    ),
    "disabled": (
        lambda hub: hub.faults.append(
            Fault(INFO, 403, {"X-Error-Message": "Access to this resource is disabled."})
        ), None,
        r"the hub has disabled it\. Choose another",
    ),
    "forbidden": (
        lambda hub: hub.faults.append(Fault(INFO, 403, {"X-Error-Message": "No rights"})), None,
        r"it refuses the request: .*No rights.*Check the rights of your token",
    ),
    "rate_limited": (
        lambda hub: hub.faults.append(Fault(INFO, 429, {"Retry-After": "77"})), None,
        r"too many requests from here\. Wait 77 seconds and repeat; requests with a token",
    ),
    "broken": (
        lambda hub: hub.faults.append(Fault(INFO, 503)), None,
        r"it has a fault of its own \(HTTP 503\)\. Repeat the command later",
    ),
    "no_hub": (
        lambda hub: hub.faults.append(Fault(INFO, body=b"<html>Log in here</html>")), None,
        r"what answers at http://127.* is no hub\. Check HF_ENDPOINT, or a log-in page",
    ),
    "silent": (
        lambda hub: hub.faults.append(Fault(INFO, stall_after=0)), None,
        r"no answer came in time\. Repeat the command later.*HF_HUB_OFFLINE=1",
    ),
    "hangs_up": (
        lambda hub: hub.faults.append(Fault(INFO, drop_after=0)), None,
        r"the connection was lost \(.*\)\. Repeat the command later",
    ),
    "file_gone": (
        lambda hub: hub.faults.append(
            Fault("resolve/", 404, {"X-Error-Code": "EntryNotFound"})
        ), None,
        r"a file of it is missing: .*Choose another revision",
    ),
    "broken_at_a_file": (
        lambda hub: hub.faults.append(Fault("safetensors", 500, method="GET")), None,
        r"it has a fault of its own \(HTTP 500\)",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", ANSWERS)
def test_what_the_hub_answers(model: Hub, monkeypatch: pytest.MonkeyPatch, case: str) -> None:
    arrange, token, sentence = ANSWERS[case]
    arrange(model)
    if case == "silent":
        be_patient(monkeypatch, 1)
    if token is not None:
        log_in(monkeypatch, token)
    with pytest.raises(HubError, match=sentence):
        model_folder("a/b")


@pytest.mark.usefixtures("model")
def test_a_revision_that_is_not_there() -> None:
    with pytest.raises(HubError, match=r"it has no revision v2\. .*e\.g\. model\.revision=main"):
        model_folder("a/b", "v2")
    with pytest.raises(HubError, match=r"it has no revision 0{40}"):
        model_folder("a/b", "0" * 40)


def test_a_name_that_is_none(hub: Hub) -> None:
    with pytest.raises(HubError, match=r"'a/b c' is no id of the hub\. Expected owner/name"):
        model_folder("a/b c")
    assert hub.requests == []


@pytest.mark.usefixtures("hub")
def test_a_hub_that_cannot_be_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        HubError, match=r"cannot be reached at http://127\.0\.0\.1:9\. Check the net.*OFFLINE=1"
    ):
        model_folder("a/b")


def test_a_download_that_stalls(model: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "STALL_S", 3.0)
    model.faults.append(Fault("safetensors", stall_after=4000))
    with pytest.raises(HubError, match=r"no byte came for 3 seconds, after 0\.0 MB\. Repeat"):
        model_folder("a/b")


def test_a_connection_that_is_lost_again_and_again(model: Hub) -> None:
    model.faults.append(Fault("safetensors", drop_after=0))
    with pytest.raises(HubError, match=r"the connection was lost \(.*\)\. Repeat the command"):
        model_folder("a/b")


def test_a_connection_that_is_lost_once_is_taken_up_again(model: Hub) -> None:
    model.faults.append(Fault("model.safetensors", drop_after=4000, times=2))
    assert (model_folder("a/b") / "model.safetensors").read_bytes() == FILES["model.safetensors"]


@pytest.mark.usefixtures("model")
def test_damaged_weights_are_deleted_and_come_again() -> None:
    content = FILES["model.safetensors"].replace(b"w", b"v")
    folder = Path(constants.HF_HUB_CACHE)

    fetch = downloading._fetch

    def fetch_and_spoil(wanted: Wanted, commit: str, files: Sequence[str]) -> Path:
        """Change what came before it is compared, as a bad disk or proxy would."""
        came = fetch(wanted, commit, files)
        (came / "model.safetensors").resolve().write_bytes(content)
        return came

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(downloading, "_fetch", fetch_and_spoil)
        with pytest.raises(
            HubError, match=r"model\.safetensors came damaged, its SHA-256 is [0-9a-f]{12}….*delete"
        ):
            model_folder("a/b")
    assert not list(folder.glob("models--a--b/snapshots/*/model.safetensors"))
    assert (model_folder("a/b") / "model.safetensors").read_bytes() == FILES["model.safetensors"]


@pytest.mark.usefixtures("model")
def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(HubError, match=r"cannot be written: .*HF_HOME=<folder>"):
        model_folder("a/b")


@pytest.mark.usefixtures("model")
def test_a_download_whose_process_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(HubError, match=r"the process that downloads it ended with code 1"):
        model_folder("a/b")


def go_offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    downloading.resolve_commit.cache_clear()
    hub.requests.clear()


def test_offline_what_is_in_the_cache_is_used(model: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model_folder("a/b")
    model.repository("model", "a/b").commit({**FILES, "config.json": b'{"new": 1}'})
    go_offline(model, monkeypatch)
    assert model_folder("a/b") == model_folder("a/b", folder.name) == folder
    assert model.requests == []


def test_offline_what_is_not_in_the_cache_is_named(
    model: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit = model_folder("a/b").name
    go_offline(model, monkeypatch)
    with pytest.raises(
        HubError, match=r"HF_HUB_OFFLINE=1, and revision v2 of it is not whole in the cache .*cache"
    ):
        model_folder("a/b", "v2")
    with pytest.raises(HubError, match=r"the model c/d: HF_HUB_OFFLINE=1.*Unset HF_HUB_OFFLINE"):
        model_folder("c/d")
    for file in Path(constants.HF_HUB_CACHE).glob(f"*/snapshots/{commit}/model.safetensors"):
        os.unlink(file)
    with pytest.raises(HubError, match=r"revision [0-9a-f]{40} of it is not whole in the cache"):
        model_folder("a/b", commit)
