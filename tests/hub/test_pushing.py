"""Models that go to the hub, and a sentence for each way in which it does not take them."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub import constants, set_client_factory
from huggingface_hub.utils._http import default_client_factory
from rich.console import Console

from infinito import run as program
from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.errors import ConfigError, HubError
from infinito.hub import (
    claim_repository,
    model_folder,
    patience,
    push_child,
    push_model,
    pushing,
    resolve_commit,
)
from infinito.models.trained import open_trained
from infinito.paths import conf_dir
from tests.conftest import TINY
from tests.hub.repositories import Fault
from tests.hub.server import Hub

CREATE, WRITE, COMMIT = "/api/repos/create", "/auth-check/write", "/commit/"
BATCH, PUT = "objects/batch", "/lfs/"


def configure(name: str = "a/b", *overrides: str) -> RunConf:
    return check([f"push={name}", *overrides], conf_dir())


def in_this_process(test: Any) -> Any:
    """Run a test with `here`, whose library uses its HTTP client in an old way."""
    old = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")
    return pytest.mark.usefixtures("here")(old(test))


@pytest.fixture
def logged_in(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """A hub that takes this machine's models."""
    monkeypatch.setenv("HF_TOKEN", hub.token)
    return hub


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let this process do what a child does, whose start takes a second."""
    monkeypatch.setattr(pushing, "_run", lambda order: push_child.answer(**order))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    yield
    set_client_factory(default_client_factory)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished run, as far as pushing is concerned."""
    folder = tmp_path / "a run"
    (folder / "model").mkdir(parents=True)
    (folder / "report.html").write_text("<html>")
    card = '---\ntags:\n- infinito\n---\nfrom_pretrained("<this folder>")'
    files = {"README.md": card, "config.json": "{}", "model.safetensors": "weights " * 1000}
    for name, content in files.items():
        (folder / "model" / name).write_text(content)
    return folder


def push(run: Path, conf: RunConf | None = None) -> None:
    push_model(conf or configure(), run, Console(quiet=True))


def read_pushed(hub: Hub, name: str = "a/b") -> dict[str, bytes]:
    repository = hub.repositories["model", name]
    return repository.commits[repository.refs["main"]]


def test_a_model_goes_to_the_hub_with_its_card_and_its_report(logged_in: Hub, run: Path) -> None:
    claim_repository(configure())
    assert "a/b" in logged_in.private
    assert set(read_pushed(logged_in)) == {".gitattributes"}
    push(run)
    pushed = read_pushed(logged_in)
    assert pushed["model.safetensors"] == b"weights " * 1000
    assert b'from_pretrained("a/b")' in pushed["README.md"]
    assert pushed["report.html"] == b"<html>"
    logged_in.requests.clear()
    (run / "model/config.json").write_text('{"new": 1}')
    push(run)
    assert read_pushed(logged_in)["config.json"] == b'{"new": 1}'
    assert not any(each.startswith("PUT") for each in logged_in.requests)  # they are there


@in_this_process
def test_a_new_repository_is_public_where_that_is_asked_for(logged_in: Hub) -> None:
    claim_repository(configure("a/b", "push_private=false"))
    assert ("model", "a/b") in logged_in.repositories
    assert not logged_in.private


def test_without_push_the_hub_is_left_alone(hub: Hub, run: Path) -> None:
    conf = check([], conf_dir())
    claim_repository(conf)
    push(run, conf)
    assert hub.requests == []


@pytest.mark.usefixtures("logged_in")
@pytest.mark.parametrize("own", [True, False])
def test_a_training_pushes_what_opens_from_the_hub(
    gpt2_folder: Path, text_file: Path, tmp_path: Path, own: bool
) -> None:
    model = () if own else ("model=pretrained", f"model.path={gpt2_folder}", "model.trainable=all")
    tiny = [each for each in TINY if own or not each.startswith(("model", "attention", "tok"))]
    command = [*tiny, *model, f"data.path={text_file}", f"data.cache_dir={tmp_path}", "push=a/b"]
    program.execute(check(command, conf_dir()), tmp_path / "run", command)

    resolve_commit.cache_clear()
    begin = ("model=pretrained", "model.path=a/b", "model.trainable=all", f"data.path={text_file}")
    again = [*(each for each in TINY if each.startswith(("trainer", "data"))), *begin]
    if own:  # the architecture is this package's, and opens as `checkpoint`
        folder = model_folder("a/b")
        again = [*command[:-1], f"checkpoint={folder}"]
        trained = open_trained(str(folder))
    else:
        program.execute(check(again, conf_dir()), tmp_path / "further", again)
        trained = open_trained(str(model_folder("a/b")))
    best = open_trained(str(tmp_path / "run"))
    for ours, theirs in zip(best.model.parameters(), trained.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


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
        r"something else changes it at this moment\. Repeat the command, or",
    ),
    "rate_limited": (
        lambda hub: hub.faults.append(Fault(CREATE, 429, {"Retry-After": "700"})), "hf_right",
        r"too many requests from here\. Wait 700 seconds and repeat the command, or",
    ),
    "broken": (
        lambda hub: hub.faults.append(Fault(CREATE, 500)), "hf_right",
        r"the hub has a fault of its own \(HTTP 500\)\. Repeat the command later, or",
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
        r"no byte went or came for 2 seconds\. Repeat the command later, or",
    ),
    "hangs_up": (
        lambda hub: hub.faults.append(Fault(CREATE, drop_after=0)), "hf_right",
        r"the connection was lost \(.*\)\. Repeat the command, or",
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
    with pytest.raises(HubError, match=r"the process that sends it ended with code 1\. Repeat"):
        claim_repository(configure())


AFTER: dict[str, tuple[Fault, str]] = {
    "gone": (Fault("none"), r"or no such model any more \(Repository not found\)"),
    "refused_commit": (Fault(COMMIT, 403), r"may not write there"),
    "changed_meanwhile": (Fault(COMMIT, 409), r"something else changes it at this moment"),
    "rate_limited": (
        Fault(BATCH, 429, {"Retry-After": "700"}), r"Wait 700 seconds and repeat the command",
    ),
    "too_large": (Fault(PUT, 413, method="PUT"), r"the hub refuses it: .*413"),
    "stalled": (Fault(PUT, stall_after=0, method="PUT"), r"no byte went or came for 2 seconds"),
}  # fmt: skip


@in_this_process
@pytest.mark.parametrize("case", AFTER)
def test_a_model_that_does_not_arrive(
    logged_in: Hub, run: Path, monkeypatch: pytest.MonkeyPatch, case: str
) -> None:
    claim_repository(configure())
    fault, cause = AFTER[case]
    if case == "gone":
        logged_in.repositories.clear()
    logged_in.faults.append(fault)
    if case == "stalled":
        monkeypatch.setattr(patience, "STALL_S", 2.0)
    with pytest.raises(
        HubError,
        match=rf"^The run is complete in {re.escape(str(run))}, but its model was not pushed to "
        rf"a/b: .*{cause}.*\. Then push the same folder:\n"
        rf"  hf upload a/b '{re.escape(str(run))}/model' \. --private$",
    ):
        push(run)
    assert case == "gone" or set(read_pushed(logged_in)) == {".gitattributes"}


@in_this_process
def test_a_connection_that_is_lost_once_is_taken_up_again(logged_in: Hub, run: Path) -> None:
    claim_repository(configure())
    logged_in.faults.append(Fault(PUT, drop_after=0, method="PUT", times=1))
    push(run)
    assert "model.safetensors" in read_pushed(logged_in)


@in_this_process
def test_a_card_that_is_no_yaml_is_not_sent(logged_in: Hub, run: Path) -> None:
    claim_repository(configure())
    (run / "model/README.md").write_text("---\ntags: [\n---\n")
    with pytest.raises(HubError, match=r"head of its README\.md is no valid YAML \(Inv.*Mend it"):
        push(run)
    assert not logged_in.large


def test_a_failed_push_leaves_a_finished_run(
    logged_in: Hub, text_file: Path, tmp_path: Path
) -> None:
    logged_in.faults.append(Fault(COMMIT, 500, times=1))
    command = [*TINY, f"data.path={text_file}", f"data.cache_dir={tmp_path / 'c'}"]
    folder = tmp_path / "run"
    with pytest.raises(HubError, match=r"The run is complete in .*run, but"):
        program.execute(check([*command, "push=a/b"], conf_dir()), folder, command)
    assert json.loads((folder / "summary.json").read_text())["val/loss"] > 0
    assert open_trained(str(folder / "model"))
    resumed = [f"resume={folder}", "push=a/c"]
    program.execute(check(resumed, conf_dir()), folder, resumed)
    assert "model.safetensors" in read_pushed(logged_in, "a/c")


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (["push=model"], r"`push`=model is no name for a model on the hub \(it has no owner\): use "
         r"`push=<owner>/<name>`"),
        (["push=a/b--c"], r"`push`=a/b--c is no name for a model on the hub \(.*--.*\): use"),
        (["task=dpo", "push=a/b", "dpo.export=[adapter]", "model=gpt2", "model.lora.rank=2"],
         r"`dpo\.export`=\['adapter'\] writes none: use `dpo\.export=\[model\]`"),
        (["task=evaluate", "checkpoint=run", "push=a/b"],
         r"`push` is not read by `task=evaluate`: leave it out \(it is for `task=dpo`, `task=tra"),
    ],
)  # fmt: skip
def test_a_push_that_cannot_be_is_refused(command: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(command, conf_dir())


@pytest.mark.parametrize("names", ["a/b", "a/b,a/c"])
def test_a_sweep_does_not_push(names: str) -> None:
    with pytest.raises(ConfigError, match=r"`push` in a sweep would send every run to the hub"):
        check(["seed=0,1", f"push={names}"], conf_dir(), sweep=True)
