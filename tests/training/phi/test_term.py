"""The Φ objective in training: λ once, nothing inside the band, traces, calibration, resume."""

from __future__ import annotations

import copy
import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, PreTrainedModel

from infinito import run as program
from infinito.config import LanguagePhiConf, MemoryConf, RunConf
from infinito.data.assembly import build_data_module
from infinito.errors import ConfigError, NonFiniteError
from infinito.models.assembly import build_language_model
from infinito.models.checkpoint_file import read_checkpoint
from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.memory.model import MemoryLMForCausalLM, with_memory
from infinito.models.observation.watching import observed
from infinito.models.pretrained.lora import LoraSettings, add_lora
from infinito.models.trained import open_trained
from infinito.objectives.phi import Calibration, phi
from infinito.training.callbacks.interruption import Interrupted
from infinito.training.phi.assembly import build_phi_term, spread_windows
from infinito.training.phi.term import PhiObjective, measured_components, read_calibration
from tests.models.tiny_models import CONFIGS, tokens
from tests.training.test_resume import resumed, stop_at

PHI = "objective=language_phi"


def build_model(name: str = "llama") -> PreTrainedModel:
    torch.manual_seed(0)
    return AutoModelForCausalLM.from_config(copy.deepcopy(CONFIGS[name]))


def gradients(lambda_phi: float = 1.0, band: tuple[float, float] = (11, 12)) -> list[Tensor]:
    """Of the loss of Φ alone: the language loss is a constant here."""
    model = build_model()
    objective = PhiObjective(LanguagePhiConf(lambda_phi=lambda_phi, band=list(band)), Calibration())
    with observed(model) as seen:
        model(input_ids=tokens(), use_cache=False)
    loss = objective.add_to(torch.zeros((), requires_grad=True), model, seen)
    weights = list(model.parameters())
    return list(torch.autograd.grad(loss, weights, allow_unused=True, materialize_grads=True))


def test_lambda_is_applied_once() -> None:
    """Half of λ is half of the gradient; twice applied it would be a quarter."""
    whole, half = gradients(1.0), gradients(0.5)
    assert sum(float(each.abs().sum()) for each in whole) > 0
    for one, other in zip(whole, half, strict=True):
        assert torch.allclose(one / 2, other, atol=1e-7)


def test_no_gradient_inside_the_band() -> None:
    assert not any(each.any() for each in gradients(band=(-1, 11)))


@pytest.mark.parametrize("name", CONFIGS)
def test_every_layer_is_reached(name: str) -> None:
    """All of the trunk's matrices; the head is behind what Φ sees."""
    model = build_model(name)
    objective = PhiObjective(LanguagePhiConf(band=[11, 12]), Calibration())
    with observed(model) as seen:
        model(input_ids=tokens(), use_cache=False)
    objective.add_to(torch.zeros(()), model, seen).backward()
    for key, parameter in model.get_submodule(model.base_model_prefix).named_parameters():
        if parameter.ndim > 1:
            assert parameter.grad is not None, key
            assert parameter.grad.any(), key


def test_adapters_get_the_gradient_of_phi() -> None:
    """In float64 it agrees with finite differences of the loss to 1e-4."""
    settings = {**CONFIGS["distance"].to_dict(), "position": "learned"}
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(DistanceLMConfig(**settings)).eval().double()
    model.requires_grad_(False)
    add_lora(model, LoraSettings(rank=2, alpha=4.0))
    model.double()
    objective = PhiObjective(LanguagePhiConf(lambda_phi=0.6, band=[11, 12]), Calibration())
    weights = [each for each in model.parameters() if each.requires_grad]
    generator = torch.Generator().manual_seed(1)
    ways = [torch.randn(w.shape, generator=generator, dtype=torch.float64) for w in weights]

    def loss() -> Tensor:
        with observed(model) as seen:
            model(input_ids=tokens(), use_cache=False)
        return objective.add_to(torch.zeros((), dtype=torch.float64), model, seen)

    @torch.no_grad()
    def moved(step: float) -> float:
        for weight, way in zip(weights, ways, strict=True):
            weight += step * way
        return float(loss())

    moved(1e-2)  # adapters start at a product of 0, where half of them have no gradient
    gradients = torch.autograd.grad(loss(), weights)
    assert all(each.any() for each in gradients)
    along = sum(float((g * way).sum()) for g, way in zip(gradients, ways, strict=True))
    above = moved(1e-6)
    assert along == pytest.approx((above - moved(-2e-6)) / 2e-6, rel=1e-4)


def test_phi_never_trains_learned_weights_or_the_memory() -> None:
    model = with_memory(build_model(), MemoryConf(segment=8), learned_weights=True)
    objective = PhiObjective(LanguagePhiConf(band=[11, 12], weights="learned"), Calibration())
    with observed(model) as seen:
        logits = model(input_ids=tokens(), use_cache=False).logits
    objective.add_to(torch.zeros(()), model, seen).backward(retain_graph=True)
    assert all(each.grad is None for each in model.memory.parameters())
    logits.square().mean().backward()
    learned = model.memory.weight_logits
    assert learned is not None
    assert learned.grad is not None
    assert learned.grad.any()


def test_a_batch_of_one_and_a_short_one() -> None:
    model, objective = build_model(), PhiObjective(LanguagePhiConf(), Calibration())
    with observed(model) as seen:
        model(input_ids=tokens(batch=1), use_cache=False)
    assert torch.isfinite(objective.measure(model, seen).value)
    with observed(model) as seen:
        model(input_ids=tokens(time=7), use_cache=False)
    with pytest.raises(ConfigError, match="Φ of a sequence of 7 tokens: it needs 8"):
        objective.measure(model, seen)


def test_states_that_are_not_finite_stop_training() -> None:
    model, objective = build_model(), PhiObjective(LanguagePhiConf(), Calibration())
    embeddings = model.get_submodule("model.embed_tokens")
    assert isinstance(embeddings, torch.nn.Embedding)
    with torch.no_grad():
        embeddings.weight[3] = torch.nan
    with observed(model) as seen:
        model(input_ids=torch.full((1, 9), 3), use_cache=False)
    with pytest.raises(NonFiniteError, match="NaN or infinite"):
        objective.measure(model, seen)


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
    from infinito.data.assembly import build_data_module
    from infinito.models.assembly import build_language_model
    from infinito.training.phi.assembly import build_phi_term, spread_windows

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


def test_validation_depends_on_neither_order_nor_training() -> None:
    """The model's own weights equal, whatever its memory went through, and the other way round."""
    from infinito.training.evaluation import mean_loss

    model = with_memory(build_model(), MemoryConf(segment=8, slots=9))
    with torch.no_grad():
        model.memory.gate_bias.fill_(2.0)
    batches = [tokens(seed=seed) for seed in range(4)]
    before = mean_loss(model, batches)
    for seed in range(5, 9):
        model.train()(input_ids=tokens(seed=seed), use_cache=False)
    slots = model.memory.states.clone()
    assert mean_loss(model, batches) == before
    assert mean_loss(model, batches[::-1]) == before
    assert torch.equal(model.memory.states, slots)


def test_calibrate_phi(
    finished: Callable[..., Path], reading: Callable[..., RunConf], text_file: Path, tmp_path: Path
) -> None:
    source = finished()
    options = ["task=calibrate_phi", "data=text", f"data.path={text_file}", "data.block_size=16"]
    for number, checkpoint in enumerate((source, source / "model")):
        folder = tmp_path / f"calibrated{number}"
        program.execute(reading(*options, f"checkpoint={checkpoint}"), folder)
        report = json.loads((folder / "calibration.json").read_text())
        assert report["quantiles"]["Φ"]["2.5 %"] == pytest.approx(3.0, abs=1e-3)
        assert report["quantiles"]["Φ"]["97.5 %"] == pytest.approx(6.0, abs=1e-3)
        assert not list(folder.rglob("best.ckpt"))  # which `checkpoint=last` would take for a run
        place = folder if number == 0 else folder / "model"
        found = read_calibration(open_trained(str(place)).model)
        assert found == pytest.approx((report["scale"], report["offset"]))


def test_calibrate_phi_takes_text_and_weights_of_the_run(
    trained: Callable[..., Path], reading: Callable[..., RunConf], tmp_path: Path
) -> None:
    """So a model that has not moved gets the calibration that its own run fitted."""
    weights = "objective.component_weights=[0.2,0.2,0.6,0]"
    source = trained(PHI, weights, "optimizer.lr=1e-12", "trainer.max_steps=1")
    program.execute(reading("task=calibrate_phi", f"checkpoint={source}"), tmp_path / "calibrated")
    report = json.loads((tmp_path / "calibrated/calibration.json").read_text())
    expected = json.loads((source / "summary.json").read_text())["phi_calibration"]
    assert [report["scale"], report["offset"]] == pytest.approx(expected, rel=1e-4)


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


@pytest.mark.parametrize("memory", ["none", "integration"])
def test_the_log_tells_the_attention_inside_a_memory(
    configured: Callable[..., RunConf], memory: str
) -> None:
    from infinito.training.report.headline import attention_choice

    run = configured(f"memory={memory}", "model.memory.segment=8", "attention=l1")
    model = build_language_model(run, 20, None)
    assert attention_choice(run, model).startswith("l1 attention on cpu")


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
