"""Evaluation: any split, any kind of checkpoint, numbers that agree with training's."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infinito import run as program
from infinito.cli.composition import plain
from infinito.cli.continuation import command_faults, effective_values
from infinito.config import RunConf
from infinito.errors import CheckpointError, ConfigError, DeviceError
from infinito.models.trained import open_trained
from infinito.run_folder.folder import saved_values
from infinito.training.assembly import start_from

Configured = Callable[..., RunConf]


def evaluation(reading: Configured, folder: Path, *overrides: str) -> dict[str, float]:
    program.execute(reading("task=evaluate", *overrides), folder)
    return json.loads((folder / "evaluation.json").read_text())


def test_validation_equals_what_training_reported(
    finished: Callable[..., Path], reading: Configured, tmp_path: Path
) -> None:
    run = finished()
    summary = json.loads((run / "summary.json").read_text())
    for number, checkpoint in enumerate((run, run / "checkpoints/best.ckpt", run / "model")):
        report = evaluation(reading, tmp_path / f"e{number}", f"checkpoint={checkpoint}")
        assert report["val/loss"] == pytest.approx(summary["val/loss"], abs=1e-6)
        assert report["val/perplexity"] == pytest.approx(math.exp(report["val/loss"]))


def test_test_split_is_another_text(
    finished: Callable[..., Path], reading: Configured, tmp_path: Path
) -> None:
    run = finished()
    reports = [
        evaluation(reading, tmp_path / split, f"checkpoint={run}", f"split={split}")
        for split in ("valid", "test")
    ]
    assert reports[0]["fingerprint"] != reports[1]["fingerprint"]
    assert reports[1]["test/loss"] > 0


def test_a_real_pretrained_model_is_evaluated(
    shared_data: Path, text_file: Path, reading: Configured, tmp_path: Path
) -> None:
    report = evaluation(
        reading,
        tmp_path / "e",
        f"checkpoint={shared_data / 'stories260k/hf'}",
        "data=text",
        f"data.path={text_file}",
        "data.block_size=64",
    )
    assert 1 < report["val/loss"] < math.log(512) * 1.5


def test_a_checkpoint_fixes_its_model(finished: Callable[..., Path]) -> None:
    run = finished()
    values = {**saved_values(run), "task": "evaluate", "checkpoint": str(run)}
    (fault,) = command_faults(values, ["model.dim=32"])
    assert "`model.dim` is fixed by `checkpoint`" in fault
    other = {**values, "data": {**values["data"], "batch_size": 2}}
    assert effective_values(other, ["data.batch_size=2"])["data"]["batch_size"] == 2


def test_the_backend_is_the_one_asked_for(
    finished: Callable[..., Path], reading: Configured, tmp_path: Path
) -> None:
    run = finished("attention=l1")
    summary = json.loads((run / "summary.json").read_text())
    options = [f"checkpoint={run}", "attention.backend=chunked"]
    report = evaluation(reading, tmp_path / "chunked", *options)
    assert report["val/loss"] == pytest.approx(summary["val/loss"], abs=1e-5)
    with pytest.raises(ConfigError, match=r"`attention.backend`=sdpa cannot serve l1"):
        evaluation(reading, tmp_path / "sdpa", f"checkpoint={run}", "attention.backend=sdpa")


def test_a_memory_is_evaluated_empty_or_frozen(
    finished: Callable[..., Path], reading: Configured, tmp_path: Path
) -> None:
    memory = ["memory=integration", "model.memory.segment=8", "optimizer.lr=0.1"]
    run = finished(*memory)
    summary = json.loads((run / "summary.json").read_text())
    losses = {
        option: evaluation(
            reading, tmp_path / option, f"checkpoint={run}", f"model.memory.evaluation={option}"
        )["val/loss"]
        for option in ("empty", "frozen")
    }
    assert losses["empty"] == pytest.approx(summary["val/loss"], abs=1e-6)
    assert losses["frozen"] != losses["empty"]
    plain = finished(folder="plain")
    with pytest.raises(ConfigError, match=r"`model.memory.evaluation` is fixed by `checkpoint`"):
        reading("task=evaluate", f"checkpoint={plain}", "model.memory.evaluation=frozen")


def test_another_tokenizer_is_refused(
    trained: Callable[..., Path], finished: Callable[..., Path], reading: Configured, tmp_path: Path
) -> None:
    run = finished()
    trained_model = open_trained(str(run))
    (tmp_path / "other.txt").write_text("abc " * 500)
    other = open_trained(str(trained(f"data.path={tmp_path / 'other.txt'}", folder="other")))
    with pytest.raises(CheckpointError, match="another tokenizer"):
        start_from(other.model, other.tokenizer, str(run))
    trained_model.model.resize_token_embeddings(3)
    trained_model.model.save_pretrained(tmp_path / "mixed")
    trained_model.tokenizer.save_pretrained(tmp_path / "mixed")
    with pytest.raises(CheckpointError, match="do not belong together"):
        evaluation(reading, tmp_path / "e", f"checkpoint={tmp_path / 'mixed'}")


def test_a_new_run_starts_from_a_checkpoint(
    trained: Callable[..., Path], finished: Callable[..., Path]
) -> None:
    run = finished()
    again = trained(f"checkpoint={run}", "optimizer.lr=1e-12", folder="again")
    first, second = (json.loads((f / "summary.json").read_text()) for f in (run, again))
    assert second["val/loss"] == pytest.approx(first["val/loss"], abs=1e-5)


def test_other_sizes_are_refused_with_their_names(
    trained: Callable[..., Path], finished: Callable[..., Path]
) -> None:
    run = finished()
    with pytest.raises(
        CheckpointError, match=r"does not fit the configured model:\n.*there, .*here"
    ):
        trained(f"checkpoint={run}", "model.dim=32", folder="wider")


@pytest.mark.parametrize("name", ["absent", "."])
def test_what_holds_no_model_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no model: expected a run folder"):
        open_trained(str(tmp_path / name))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_an_absent_gpu_is_an_error(trained: Callable[..., Path], tmp_path: Path) -> None:
    with pytest.raises(DeviceError, match=r"Use `trainer\.accelerator=cpu`"):
        trained("trainer.accelerator=cuda")
    with pytest.raises(DeviceError, match="needs a CUDA device"):
        trained("trainer.precision=16-mixed")
    assert not (tmp_path / "run").exists()


def test_plain_values_have_no_interpolations_left() -> None:
    from omegaconf import OmegaConf

    assert plain(OmegaConf.create({"a": 1, "b": "${a}", "hydra": {}})) == {"a": 1, "b": 1}
