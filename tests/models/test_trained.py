"""Trained models: what opens, and weights that are refused."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from transformers import GPT2LMHeadModel

from infinito import run as program
from infinito.config import RunConf
from infinito.errors import CheckpointError
from infinito.models.checkpoint_file import read_checkpoint, write_checkpoint
from infinito.models.memory.model import MemoryLMForCausalLM
from infinito.models.trained import open_trained

EMBEDDING = "model.model.embed_tokens.weight"


@pytest.fixture(params=[math.nan, math.inf, -math.inf], ids=["nan", "inf", "minus inf"])
def damaged(request: pytest.FixtureRequest, finished: Callable[..., Path]) -> Path:
    """A run whose best checkpoint has one weight that is no number, its checksum right."""
    run = finished()
    path = run / "checkpoints/best.ckpt"
    checkpoint = read_checkpoint(path)
    checkpoint["state_dict"][EMBEDDING][3, 5] = request.param
    write_checkpoint(checkpoint, path)
    return run


def test_every_task_that_reads_a_model_refuses_such_weights(
    damaged: Path, reading: Callable[..., RunConf], tmp_path: Path
) -> None:
    message = r"embed_tokens\.weight \(1 of \d+ numbers\).* Use a checkpoint of an earlier step"
    for task in ("evaluate", "analyze", "generate", "calibrate_phi", "score_pairs"):
        needs = {"score_pairs": ["data=pairs"], "generate": ["generation.prompt=line"]}
        conf = reading(f"task={task}", f"checkpoint={damaged}", *needs.get(task, []))
        with pytest.raises(CheckpointError, match=message):
            program.execute(conf, tmp_path / task)


def test_a_folder_with_such_weights_is_refused_as_a_checkpoint(gpt2_folder: Path) -> None:
    from infinito.models.pretrained.opening import check_finite

    trained = open_trained(str(gpt2_folder))
    assert isinstance(trained.model, GPT2LMHeadModel)
    trained.model.transformer.wte.weight.data[0] = math.nan
    with pytest.raises(CheckpointError, match=r"transformer\.wte\.weight \(16 of 4800 numbers\)"):
        check_finite(trained.model, gpt2_folder)


@pytest.mark.parametrize(
    "change", [{"model_type": "evil"}, {"model_type": "bert"}, {"model_type": None}]
)
def test_a_checkpoint_of_a_model_that_is_not_known_is_refused(
    finished: Callable[..., Path], tmp_path: Path, change: dict[str, object]
) -> None:
    """Not even where its config names code of its own, as one of the hub may."""
    checkpoint = read_checkpoint(finished() / "checkpoints/best.ckpt")
    values = {"auto_map": {"AutoModelForCausalLM": "evil.Evil"}, **change}
    checkpoint["infinito"]["model_config"] = json.dumps(values)
    write_checkpoint(checkpoint, tmp_path / "evil.ckpt")
    with pytest.raises(CheckpointError, match=r"its config describes no causal LM|does not fit"):
        open_trained(str(tmp_path / "evil.ckpt"))


def test_a_memory_begins_anew_around_a_model_trained_without(
    trained: Callable[..., Path],
    finished: Callable[..., Path],
) -> None:
    plain = finished(folder="plain")
    options = ["memory=integration", "model.memory.segment=8", f"checkpoint={plain}"]
    both = trained(*options, "optimizer.lr=1e-12", "trainer.max_steps=1", folder="both")
    before, after = (open_trained(str(folder)).model for folder in (plain, both))
    assert isinstance(after, MemoryLMForCausalLM)
    inner = after.causal_lm.state_dict()
    for name, value in before.state_dict().items():
        assert torch.allclose(value, inner[name], atol=1e-6), name


def test_the_noise_of_a_new_run_fades_out_anew(trained: Callable[..., Path]) -> None:
    """Its steps count from 0; what the memory holds, and its clock, go on."""
    memory = ["memory=integration", "model.memory.segment=8", "model.memory.noise=gaussian"]
    first = trained(*memory, "trainer.max_steps=3", folder="first")
    options = [*memory, f"checkpoint={first}", "trainer.max_steps=3"]
    again = trained(*options, folder="again")
    before, after = (
        read_checkpoint(each / "checkpoints/last.ckpt")["state_dict"] for each in (first, again)
    )
    assert before["model.memory.steps"] == after["model.memory.steps"] == 3
    assert after["model.memory.clock"] == 2 * before["model.memory.clock"]
