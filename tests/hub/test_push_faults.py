"""A sentence for each way in which a hub does not take a model, before a training and after it."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from huggingface_hub import constants

from infinito.errors import HubError
from infinito.hub import claim_repository, patience, pushing
from tests.hub.pushes import (
    BATCH,
    COMMIT,
    CREATE,
    PUT,
    WRITE,
    configure,
    in_this_process,
    push,
    read_pushed,
)
from tests.hub.repositories import Fault
from tests.hub.server import Hub

Arrange = Callable[[Hub], object]


def give_to_others(hub: Hub) -> None:
    """Let a/b be a model that everybody reads, and this machine's token does not write."""
    hub.repository("model", "a/b").commit({})
    hub.writable.clear()


BEFORE: dict[str, tuple[Arrange, str | None, str]] = {
    "no_token": (
        lambda _: None, None,
        r"^Cannot push to a/b: this machine has no token\. With one that may write, log in with "
        r"`hf auth login` or set HF_TOKEN, or leave out `push`\.$",
    ),
    "wrong_token": (
        lambda _: None, "hf_wrong",
        r"the hub refuses the token of this machine\. With a valid one, log in with",
    ),
    "owner_of_others": (
        lambda hub: hub.writable.discard("a"), "hf_right",
        r"may not write there \(You don't have the rights to create a model under a\)\. Use one "
        r"with the right to write to a's models, or a name of your own, or leave out",
    ),
    "repository_of_others": (
        give_to_others, "hf_right",
        r"may not write there \(You have no write access to a/b\)\. Use one with the right",
    ),
    "unknown_owner": (
        lambda hub: hub.faults.append(Fault(CREATE, 404, body=b'{"error": "No such org"}')),
        "hf_right",
        r"the hub has no owner a, or no such model any more \(No such org\)\. Check the spelling",
    ),
    "busy": (
        lambda hub: hub.faults.append(Fault(WRITE, 409)), "hf_right",
        r"something else changes it at this moment\. Try again, or",
    ),
    "rate_limited": (
        lambda hub: hub.faults.append(Fault(CREATE, 429, {"Retry-After": "700"})), "hf_right",
        r"too many requests from here\. Wait 700 seconds, or",
    ),
    "broken": (
        lambda hub: hub.faults.append(Fault(CREATE, 500)), "hf_right",
        r"the hub has a fault of its own \(HTTP 500\)\. Try again later, or",
    ),
    "must_pay": (
        lambda hub: hub.faults.append(Fault(CREATE, 402, body=b'{"error": "Upgrade first"}')),
        "hf_right",
        r"the hub refuses it: Upgrade first\. Check the name and your rights, or",
    ),
    "no_hub": (
        lambda hub: hub.faults.append(Fault(CREATE, body=b"<html>Log in here</html>")), "hf_right",
        r"what answers at http://127.* is no hub\. Check HF_ENDPOINT, or a log-in page",
    ),
    "silent": (
        lambda hub: hub.faults.append(Fault(CREATE, stall_after=0)), "hf_right",
        r"no byte went or came for 2 seconds\. Try again later, or",
    ),
    "hangs_up": (
        lambda hub: hub.faults.append(Fault(CREATE, drop_after=0)), "hf_right",
        r"the connection was lost \(.*\)\. Try again, or",
    ),
}  # fmt: skip


@in_this_process
@pytest.mark.parametrize("case", BEFORE)
def test_what_the_hub_answers_before_the_training(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    arrange, token, sentence = BEFORE[case]
    arrange(hub)
    if case == "silent":
        monkeypatch.setattr(patience, "STALL_S", 2.0)
    if token is not None:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError, match=sentence):
        claim_repository(configure())


@in_this_process
def test_a_hub_that_cannot_be_reached(logged_in: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(
        HubError, match=r"the hub cannot be reached at http://127\.0\.0\.1:9\. Check the network"
    ):
        claim_repository(configure())
    assert logged_in.requests == []


def test_offline_nothing_is_pushed(logged_in: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(HubError, match=r"HF_HUB_OFFLINE=1 keeps this machine from the hub\. Unset"):
        claim_repository(configure())
    assert logged_in.requests == []


@pytest.mark.usefixtures("logged_in")
def test_a_process_that_dies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(HubError, match=r"the process that sends it ended with code 1\. Try again"):
        claim_repository(configure())


AFTER: dict[str, tuple[Fault, str]] = {
    "gone": (Fault("none"), r"or no such model any more \(Repository not found\)"),
    "refused_commit": (Fault(COMMIT, 403), r"may not write there"),
    "changed_meanwhile": (Fault(COMMIT, 409), r"something else changes it at this moment"),
    "rate_limited": (
        Fault(BATCH, 429, {"Retry-After": "700"}), r"Wait 700 seconds",
    ),
    "too_large": (Fault(PUT, 413, method="PUT"), r"the hub refuses it: .*413"),
    "stalled": (Fault(PUT, stall_after=0, method="PUT"), r"no byte went or came for 2 seconds"),
}  # fmt: skip


@in_this_process
@pytest.mark.parametrize("case", AFTER)
def test_a_model_that_does_not_arrive(
    logged_in: Hub, finished_run: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    claim_repository(configure())
    fault, cause = AFTER[case]
    if case == "gone":
        logged_in.repositories.clear()
    logged_in.faults.append(fault)
    if case == "stalled":
        monkeypatch.setattr(patience, "STALL_S", 2.0)
    folder = re.escape(str(finished_run))
    with pytest.raises(
        HubError,
        match=rf"^The run is complete in {folder}, but its model was not pushed to a/b: "
        rf".*{cause}.*\. This sends the same folder again:\n"
        rf"  hf upload a/b '{folder}/model' \. --private$",
    ):
        push(finished_run)
    assert case == "gone" or set(read_pushed(logged_in)) == {".gitattributes"}


@in_this_process
def test_a_connection_that_is_lost_once_is_taken_up_again(
    logged_in: Hub, finished_run: Path
) -> None:
    claim_repository(configure())
    logged_in.faults.append(Fault(PUT, drop_after=0, method="PUT", times=1))
    push(finished_run)
    assert "model.safetensors" in read_pushed(logged_in)


def test_a_push_that_is_stopped_says_how_to_go_on(
    finished_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pushing, "_run", stop)
    with pytest.raises(
        HubError, match=r"not pushed to a/b: Ctrl\+C stopped it\. This sends .*\n  hf"
    ):
        push(finished_run)


@in_this_process
def test_a_card_that_is_no_yaml_is_not_sent(logged_in: Hub, finished_run: Path) -> None:
    claim_repository(configure())
    (finished_run / "model/README.md").write_text("---\ntags: [\n---\n")
    with pytest.raises(HubError, match=r"head of its README\.md is no valid YAML \(Inv.*Mend it"):
        push(finished_run)
    assert not logged_in.large
