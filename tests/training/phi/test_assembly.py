"""Φ in a run: what λ changes, calibration, exact resume, faults."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.errors import ConfigError
from infinito.models.assembly import build_language_model
from infinito.models.checkpoint_file import read_checkpoint
from infinito.models.memory.model import MemoryLMForCausalLM
from infinito.models.trained import open_trained
from infinito.objectives.phi import phi
from infinito.training.callbacks.interruption import Interrupted
from infinito.training.phi.assembly import build_phi_term, spread_windows
from infinito.training.phi.term import measured_components, read_calibration
from tests.training.test_resume import resumed, stop_at

PHI = "objective=language_phi"


def trace(folder: Path) -> dict[str, Tensor]:
    return read_checkpoint(folder / "checkpoints/last.ckpt")["state_dict"]


def test_lambda_changes_training_and_nothing_else_does(
    trained: Callable[..., Path], finished: Callable[..., Path]
) -> None:
    """λ 0 repeats objective=language bit for bit; λ above 0 does not, when Φ is out of its band."""
    out = [PHI, "objective.calibration=[1,0]", "objective.band=[9,10]"]
    plain = trace(finished(folder="plain"))
    none = trace(trained(*out, "objective.lambda_phi=0", folder="none"))
    some = trace(trained(*out, "objective.lambda_phi=0.6", folder="some"))
    assert all(torch.equal(plain[name], none[name]) for name in plain)
    assert any(not torch.equal(plain[name], some[name]) for name in plain)


def test_a_run_leaves_its_calibration_and_its_figures(trained: Callable[..., Path]) -> None:
    folder = trained(PHI)
    summary = json.loads((folder / "summary.json").read_text())
    assert 0 <= summary["train/phi_share_in_band"] <= 1
    opened = open_trained(str(folder)).model
    assert list(read_calibration(opened) or ()) == summary["phi_calibration"]
    assert read_calibration(open_trained(str(folder / "model")).model) == read_calibration(opened)
    checkpoint = read_checkpoint(folder / "checkpoints/last.ckpt")
    assert checkpoint["phi"]["steps"] == 6


def test_a_start_model_is_calibrated_on_its_own_text(configured: Callable[..., RunConf]) -> None:
    """Of its windows 2.5 % lie below 3 and 2.5 % above 6."""
    run = configured(PHI)
    data = build_data_module(run)
    model = build_language_model(run, data.vocab_size, None)
    objective = build_phi_term(run, model, data)
    assert objective is not None
    windows = spread_windows(data, 256, 16)
    values = objective.calibration(phi(measured_components(model, windows)))
    quantiles = torch.quantile(values, torch.tensor([0.025, 0.975])).tolist()
    assert quantiles == pytest.approx([3.0, 6.0], abs=0.01)


def test_a_learned_phi_is_calibrated_with_its_own_weights(
    configured: Callable[..., RunConf],
) -> None:
    run = configured(
        PHI, "memory=integration", "model.memory.segment=8", "objective.weights=learned"
    )
    data = build_data_module(run)
    model = build_language_model(run, data.vocab_size, None)
    assert isinstance(model, MemoryLMForCausalLM)
    assert model.memory.weight_logits is not None
    with torch.no_grad():
        model.memory.weight_logits.data = torch.tensor([9.0, 0.0, 0.0, 0.0])
    objective = build_phi_term(run, model, data)
    assert objective is not None
    components = measured_components(model, spread_windows(data, 256, 16))
    values = objective.calibration(10 * components.temporal)
    quantiles = torch.quantile(values, torch.tensor([0.025, 0.975])).tolist()
    assert quantiles == pytest.approx([3.0, 6.0], abs=0.05)


def test_a_calibration_is_taken_from_the_checkpoint(trained: Callable[..., Path]) -> None:
    first = trained(PHI, "objective.calibration=[2.0,-3.0]", folder="first")
    again = trained(PHI, f"checkpoint={first}", folder="again")
    assert json.loads((again / "summary.json").read_text())["phi_calibration"] == [2.0, -3.0]


@pytest.mark.parametrize("weights", ["fixed", "learned"])
def test_a_stopped_run_goes_on_bit_equal(
    trained: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, weights: str
) -> None:
    """The memory's slots and clock, Φ's counts and calibration are in the checkpoint."""
    options = [
        PHI, "memory=integration", "model.memory.segment=8", "model.memory.slots=9",
        "model.memory.noise=gaussian", f"objective.weights={weights}",
    ]  # fmt: skip
    whole = trained(*options, folder="whole")
    stop_at(monkeypatch, "training_step", 4, signal.SIGTERM)
    with pytest.raises(Interrupted):
        trained(*options, folder="stopped")
    stopped = tmp_path / "stopped"
    resumed(stopped)
    first, second = (read_checkpoint(each / "checkpoints/last.ckpt") for each in (whole, stopped))
    assert first["phi"] == second["phi"]
    assert first["state_dict"]["model.memory.alive"].all()
    for name, value in first["state_dict"].items():
        assert torch.equal(value, second["state_dict"][name]), name


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("objective.lambda_phi=-1", r"`objective.lambda_phi`=-1.* at least 0"),
        ("objective.band=[6,3]", r"`objective.band`=\[6,3\]: expected low < high"),
        ("objective.weights=learned", r"Use `memory=integration`"),
        ("objective.component_weights=[1,0,0]", "four numbers that sum to 1"),
        ("objective.calibration=[-1,0]", "a scale above 0"),
        ("objective.calibration=[nan,0]", "a finite number"),
        ("objective.lambda_phi=inf", "a finite number"),
        ("trainer.compile=true", "Use `trainer.compile=false`"),
        ("data.block_size=4", "shorter than Φ needs"),
    ],
)
def test_faults_are_named(configured: Callable[..., RunConf], override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configured(PHI, override)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["objective.weights=learned", "model.memory.priority=random"], "does not depend on them"),
        (["trainer.strategy=ddp"], r"all but the first's be lost"),
        (["model.memory.segment=16"], r"holds no more than one segment.*Use `data.block_size=64`"),
    ],
)
def test_a_memory_that_could_do_nothing_is_refused(
    configured: Callable[..., RunConf], overrides: list[str], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        configured(PHI, "memory=integration", "model.memory.segment=8", *overrides)
