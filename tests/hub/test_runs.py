"""Whole runs from the hub: the commit that a run began with is what everything later uses."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from infinito import run as program
from infinito.cli.composition import check
from infinito.cli.continuation import effective_values
from infinito.cli.revisions import pin_revisions
from infinito.errors import ConfigError, ResumeError
from infinito.hub.downloading import resolve_commit
from infinito.models.trained import open_trained
from infinito.paths import conf_dir
from tests.hub.server import Hub

pytest.importorskip("peft")

Start = Callable[..., Path]


@pytest.fixture
def start(text_file: Path, tmp_path: Path) -> Start:
    """Runs a command of LoRA on a/b of the hub, in a folder."""
    settings = (
        "model=pretrained", "model.path=a/b", "model.lora.rank=2", "data=text",
        f"data.path={text_file}", "data.block_size=16", "data.batch_size=4",
        f"data.cache_dir={tmp_path / 'cache'}", "trainer.max_steps=4", "trainer.epochs=null",
        "trainer.validate_every=2", "trainer.accelerator=cpu", "trainer.progress_bar=false",
        "trainer.sample_tokens=0",
    )  # fmt: skip

    def run(*overrides: str, folder: str = "run", settings: tuple[str, ...] = settings) -> Path:
        command = [*settings, *overrides]
        resolve_commit.cache_clear()  # each command is a process of its own
        program.execute(check(command, conf_dir()), tmp_path / folder, command)
        return tmp_path / folder

    return run


def move_main(hub: Hub, gpt2_folder: Path, tmp_path: Path) -> str:
    """Give the main branch of a/b other weights; return the commit."""
    import torch
    from transformers import GPT2LMHeadModel

    other = tmp_path / "moved"
    shutil.copytree(gpt2_folder, other)
    model = GPT2LMHeadModel.from_pretrained(other)
    with torch.no_grad():
        model.transformer.wte.weight.add_(1.0)
    model.save_pretrained(other)
    return hub.add_model("a/b", other)


def test_a_run_records_its_commit_and_keeps_it_after_main_moved(
    hub: Hub, gpt2_folder: Path, start: Start, tmp_path: Path
) -> None:
    first = hub.add_model("a/b", gpt2_folder)
    run = start("model.revision=main")
    saved = OmegaConf.load(run / "config.yaml")
    assert saved.model.revision == first
    assert open_trained(str(run)).model.config.base_model["revision"] == first
    second = move_main(hub, gpt2_folder, tmp_path)

    resolve_commit.cache_clear()
    hub.requests.clear()
    assert open_trained(str(run)).model.config.base_model["revision"] == first
    assert hub.requests == []  # all of it is in the cache, and a commit does not change
    for again in ((), ("model.revision=main", "model.path=a/b")):
        start(f"resume={run}", *again, settings=())
    with pytest.raises(ResumeError, match=rf"model\.revision: the run has {first}, .*asks for v9"):
        start(f"resume={run}", "model.revision=v9", settings=())
    losses = []
    for revision in (first, second):
        folder = start(f"model.revision={revision}", folder=f"run_{revision[:4]}")
        losses.append(json.loads((folder / "summary.json").read_text())["val/loss"])
    assert losses[0] != losses[1]


def test_a_tokenizer_and_a_text_have_revisions_of_their_own(hub: Hub, gpt2_folder: Path) -> None:
    commit = hub.add_model("a/b", gpt2_folder)
    texts = hub.repository("dataset", "a/texts")
    first = texts.commit({"train.jsonl": b"{}"}, "old")
    second = texts.commit({"train.jsonl": b"{}\n"})
    command = ["tokenizer=pretrained", "tokenizer.path=a/b", "data=hub", "data.path=a/texts"]
    pinned = pin_revisions(check([*command, "data.revision=old"], conf_dir()))
    assert (pinned.tokenizer.revision, pinned.data.revision) == (commit, first)  # type: ignore[attr-defined]
    pairs = ["task=check_data", "data=pairs", "data.path=a/texts", "data.held_out_path=a/texts"]
    pinned = pin_revisions(check([*pairs, "data.revision=old"], conf_dir()))
    data = pinned.data
    assert (data.revision, data.held_out_revision) == (first, second)  # type: ignore[attr-defined]


def test_what_is_local_asks_the_hub_for_nothing(hub: Hub, gpt2_folder: Path) -> None:
    command = ["model=pretrained", f"model.path={gpt2_folder}"]
    conf = check(command, conf_dir())
    assert pin_revisions(conf) is conf
    assert hub.requests == []


def test_another_text_is_not_read_at_the_revision_of_the_first(tmp_path: Path) -> None:
    conf = check(["data=hub", "data.path=a/texts", f"data.revision={'0' * 40}"], conf_dir())
    OmegaConf.save(OmegaConf.structured(conf), tmp_path / "config.yaml")
    values = OmegaConf.to_container(OmegaConf.structured(check([], conf_dir())))
    given = {**values, "task": "evaluate", "checkpoint": str(tmp_path)}  # type: ignore[dict-item]
    hub_data = {"name": "hub", "path": "c/d"}
    taken = effective_values(given, [])
    assert taken["data"]["revision"] == "0" * 40
    other = effective_values({**given, "data": {**taken["data"], **hub_data}}, ["data.path=c/d"])
    assert (other["data"]["path"], other["data"]["revision"]) == ("c/d", None)


@pytest.mark.parametrize(
    ("command", "key"),
    [
        (["model=pretrained", "model.path=./folder", "model.revision=main"], "model"),
        (["tokenizer=pretrained", "tokenizer.path=./t", "tokenizer.revision=main"], "tokenizer"),
        (["data=hub", "data.path=texts.jsonl", "data.revision=main"], "data"),
        (["task=check_data", "data=pairs", "data.revision=main"], "data"),
    ],
)
def test_a_revision_of_what_is_not_on_the_hub_is_refused(command: list[str], key: str) -> None:
    with pytest.raises(ConfigError, match=rf"`{key}\.revision`=main chooses a revision of an id"):
        check(command, conf_dir())
