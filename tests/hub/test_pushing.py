"""Models that go to the hub, and come back from it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from infinito import run as program
from infinito.cli.composition import check
from infinito.errors import ConfigError, HubError
from infinito.hub import claim_repository, model_folder, resolve_commit
from infinito.models.trained import open_trained
from infinito.paths import conf_dir
from tests.conftest import TINY
from tests.hub.pushes import COMMIT, configure, in_this_process, push, read_pushed
from tests.hub.repositories import Fault
from tests.hub.server import Hub


def test_a_model_goes_to_the_hub_with_its_card_and_its_report(
    logged_in: Hub, finished_run: Path
) -> None:
    claim_repository(configure())
    assert "a/b" in logged_in.private
    assert set(read_pushed(logged_in)) == {".gitattributes"}
    push(finished_run)
    pushed = read_pushed(logged_in)
    assert pushed["model.safetensors"] == b"weights " * 1000
    assert b'from_pretrained("a/b")' in pushed["README.md"]
    assert pushed["report.html"] == b"<html>"
    logged_in.requests.clear()
    (finished_run / "model/config.json").write_text('{"new": 1}')
    push(finished_run)
    assert read_pushed(logged_in)["config.json"] == b'{"new": 1}'
    assert not any(each.startswith("PUT") for each in logged_in.requests)  # they are there


@in_this_process
def test_a_new_repository_is_public_where_that_is_asked_for(logged_in: Hub) -> None:
    claim_repository(configure("a/b", "push_private=false"))
    assert ("model", "a/b") in logged_in.repositories
    assert not logged_in.private


def test_without_push_the_hub_is_left_alone(hub: Hub, finished_run: Path) -> None:
    conf = check([], conf_dir())
    claim_repository(conf)
    push(finished_run, conf)
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
        (["push_private=false"], r"`push_private`=false says who .*: give `push=<owner>/<name>`"),
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
