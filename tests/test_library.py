"""infinito from a script: names that load late, settings, runs, models, Φ and the search."""

from __future__ import annotations

import doctest
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

import infinito
from infinito import library
from infinito.errors import CheckpointError, ConfigError
from tests.conftest import TINY


@pytest.fixture
def overrides(text_file: Path, tmp_path: Path) -> list[str]:
    """A training that takes a moment."""
    places = (f"data.cache_dir={tmp_path / 'cache'}", f"runs_dir={tmp_path / 'runs'}")
    return [*TINY, f"data.path={text_file}", *places]


def list_loaded(code: str, modules: Sequence[str]) -> set[str]:
    """Return which of the modules a fresh process has loaded after running `code`."""
    report = (
        f"{code}\nimport sys\nprint(*[each for each in {list(modules)} if each in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", report], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


HEAVY = ("torch", "numpy", "hydra", "omegaconf", "transformers", "lightning", "scipy", "rich")


def test_importing_the_package_loads_nothing_else() -> None:
    assert list_loaded("import infinito", HEAVY) == set()


def test_attention_needs_torch_alone() -> None:
    loaded = list_loaded("from infinito import distance_attention", HEAVY)
    assert loaded <= {"torch", "numpy"}


def test_every_name_is_there_and_listed() -> None:
    for name in infinito.__all__:
        assert getattr(infinito, name) is not None
        assert name in dir(infinito)
    assert infinito.DistanceLM.__name__ == "DistanceLMForCausalLM"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'treesearch'"):
        infinito.treesearch  # noqa: B018


def test_examples_in_docstrings_hold() -> None:
    outcome = doctest.testmod(library)
    assert outcome.attempted
    assert not outcome.failed


def test_compose_takes_what_the_command_line_takes() -> None:
    conf = infinito.compose("experiment=debug", "attention=l1", "seed=3")
    assert (conf.seed, conf.attention.metric) == (3, "l1")


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["modle.dim=3"], "modle"),
        ([["seed=1"]], "an override is a string such as 'seed=1', received list"),
    ],
)
def test_compose_refuses(given: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        infinito.compose(*given)


def test_a_run_has_results_and_a_model(overrides: list[str]) -> None:
    run = infinito.train(*overrides)
    assert run.score == run.summary["val/loss"]
    assert run.folder.parent.parent == Path(run.settings.runs_dir)
    trained = run.load()
    ids = trained.tokenizer("line 3 has", return_tensors="pt").input_ids
    assert trained.model(ids).logits.shape == (1, ids.shape[1], len(trained.tokenizer))


def test_a_run_goes_on_in_its_own_folder(overrides: list[str]) -> None:
    run = infinito.train(*overrides)
    again = infinito.train(f"resume={run.folder}", "trainer.sample_tokens=9")
    assert again.folder == run.folder


def test_a_measurement_lies_beside_the_run(overrides: list[str]) -> None:
    run = infinito.train(*overrides)
    measured = infinito.train(
        "task=evaluate", f"checkpoint={run.folder}", "trainer.accelerator=cpu"
    )
    assert measured.folder == run.folder / "evaluation_valid"
    assert measured.metrics[0]["val/loss"] == pytest.approx(run.summary["val/loss"])


def test_what_a_run_logged_is_a_table(overrides: list[str], tmp_path: Path) -> None:
    rows = infinito.train(*overrides).metrics
    assert [row["step"] for row in rows] == list(range(1, 7))
    assert rows[-1]["val/loss"] is not None
    assert rows[0]["val/loss"] is None
    listed = infinito.train("task=list", f"runs_dir={tmp_path}")
    with pytest.raises(ConfigError, match="`task=list` logs no figures"):
        listed.metrics  # noqa: B018


def test_several_processes_are_refused(overrides: list[str]) -> None:
    with pytest.raises(ConfigError, match="a script would run again in each"):
        infinito.train(*overrides, "trainer=ddp", "trainer.devices=2")


def test_load_refuses_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no model"):
        infinito.load(tmp_path)


def test_measure_phi_equals_the_components() -> None:
    torch.manual_seed(0)
    model = infinito.DistanceLM(
        infinito.DistanceLMConfig(vocab_size=32, hidden_size=16, num_hidden_layers=2)
    )
    ids = torch.randint(32, (3, 12))
    value, components = infinito.measure_phi(model, ids)
    assert value.shape == (3,)
    torch.testing.assert_close(value, infinito.phi(components))
    value.sum().backward()
    weight = model.model.embed_tokens.weight
    assert weight.grad is not None
    assert weight.grad.abs().sum() > 0
    with pytest.raises(ConfigError):
        infinito.measure_phi(model, ids[:, :5])


def test_a_search_over_a_function() -> None:
    search = infinito.Search(infinito.Space([infinito.Float("x", -2.0, 2.0)]))
    for _ in range(25):
        (trial,) = search.ask()
        search.tell(trial.number, (trial.params["x"] - 1) ** 2)
    best = search.best()
    assert best is not None
    assert abs(best.params["x"] - 1) < 0.2


def test_preference_losses_go_by_name() -> None:
    zero, ten = torch.zeros(2), torch.full((2,), 10)
    pairs = infinito.PairLogProbs(
        torch.tensor([-3.0, -5.0]), torch.tensor([-4.0, -4.0]), zero, zero, ten, ten
    )
    loss = infinito.PreferenceObjective({"sigmoid": 1.0}, beta=0.1)(pairs)
    torch.testing.assert_close(
        loss, -torch.nn.functional.logsigmoid(0.1 * torch.tensor([1.0, -1.0]))
    )
