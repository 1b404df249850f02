"""What does not fit a pretrained model is refused."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import GPT2LMHeadModel

from infinito import run as program
from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.errors import CheckpointError, ConfigError, DataError, HubError, ResumeError
from infinito.paths import conf_dir
from tests.tasks.pretrained.conftest import Train


def test_adapters_of_another_base_are_refused(
    trained: Train, finished: Train, gpt2_folder: Path, tmp_path: Path
) -> None:
    folder = finished()
    moved = shutil.copytree(gpt2_folder, tmp_path / "other")
    other = GPT2LMHeadModel.from_pretrained(moved)
    with torch.no_grad():
        other.transformer.wte.weight.mul_(1.01)
    other.save_pretrained(moved)
    with pytest.raises(CheckpointError, match="adapters of another base model"):
        trained(f"checkpoint={folder}", f"model.path={moved}", folder="wrong")
    resumed = shutil.copytree(folder, tmp_path / "resumed")
    config = resumed / "config.yaml"
    config.write_text(config.read_text().replace(str(gpt2_folder), str(moved)))
    with pytest.raises(ResumeError, match=r"config.yaml was changed since the run began"):
        program.execute(check([f"resume={resumed}"], conf_dir()), resumed)


def test_whole_weights_do_not_pass_for_adapters(
    trained: Train, finished: Train, gpt2_folder: Path
) -> None:
    with pytest.raises(CheckpointError, match=r"holds whole weights.*`model.path="):
        trained(f"checkpoint={gpt2_folder}", folder="whole")
    folder = finished()
    with pytest.raises(CheckpointError, match="does not fit the configured model"):
        trained(f"checkpoint={folder}", "model.lora.rank=2", folder="narrower")


@pytest.mark.usefixtures("closed_hub")
def test_an_unreachable_hub_names_the_local_path(
    configured: Callable[..., RunConf], tmp_path: Path
) -> None:
    with pytest.raises(
        HubError, match=r"the model a/b: .*use a local copy with model\.path=<folder>"
    ):
        program.execute(configured("model.path=a/b"), tmp_path / "run")


def test_what_does_not_fit_is_refused(trained: Train, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="301 tokens, but GPT2LMHeadModel knows 300"):
        trained("tokenizer=bpe", "tokenizer.vocab_size=301", folder="vocabulary")
    with pytest.raises(ConfigError, match="longer than the 64 positions"):
        trained("data.block_size=65", folder="long")
    with pytest.raises(ConfigError, match="leaves nothing to train"):
        trained("model.trainable=memory", folder="memory")
    with pytest.raises(DataError, match=r"no folder with a config\.json"):
        trained(f"model.path={tmp_path}/absent", folder="absent")


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["model=pretrained"], r"needs `model.path=<Hugging Face folder or id>`"),
        (["attention=own"], r"`model`=distance_lm has none: choose one"),
        (["model=gpt2", "attention.scale=2"], r"attention.scale`=2.0 has no meaning"),
        (["model=gpt2", "attention=l1", "attention.heads=8"], r"attention.heads`=8 has no meaning"),
    ],
)
def test_combinations_without_meaning_are_refused(overrides: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(overrides, conf_dir())
