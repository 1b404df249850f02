"""The shipped searches, and what a command with a mistake in its sweep is told."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from infinito.cli.composition import check
from infinito.cli.rules import options
from infinito.config import RunConf
from infinito.errors import ConfigError
from infinito.paths import conf_dir
from infinito.sweeps.record.plan import reopen

SEARCHES = sorted(path.stem for path in (conf_dir() / "search").glob("*.yaml"))


def sweep_config(*overrides: str) -> RunConf:
    return check(overrides, conf_dir(), sweep=True)


@pytest.mark.parametrize("name", SEARCHES)
def test_every_search_composes_and_says_what_it_asks(name: str) -> None:
    path = conf_dir() / "search" / f"{name}.yaml"
    lines = path.read_text(encoding="utf-8").splitlines()
    assert lines[1].startswith("# ")
    assert "_target_" not in path.read_text(encoding="utf-8")
    assert sweep_config(f"+search={name}").name == name


def test_the_original_search_is_as_published() -> None:
    sweeper = OmegaConf.load(conf_dir() / "search/mcts_original.yaml").hydra.sweeper
    assert (sweeper.n_trials, sweeper.exploration, sweeper.max_depth) == (50, 1.414, 15)
    assert sweeper.strategy == "uct"
    assert len(sweeper.params) == 7


@pytest.mark.slow
def test_an_attention_search_from_the_command_line(
    command: Callable[..., object], text_file: Path, tmp_path: Path
) -> None:
    text = ("data=text", f"data.path={text_file}", "tokenizer=char", "data.cache_dir=cache")
    small = ("data.block_size=16", "trainer.max_steps=2", "optimizer.warmup_steps=0")
    sizes = ("model.layers=1", "data.batch_size=4", "trainer.accelerator=cpu")
    few = ("hydra.sweeper.n_trials=3", "hydra.sweep.dir=sweep")
    finished = command("-m", "search=mcts_attention", *text, *small, *sizes, *few)
    assert finished.returncode == 0, finished.stderr  # type: ignore[attr-defined]
    search, _ = reopen(tmp_path / "sweep")
    assert len(search.space.names) == 6  # the batch size was given
    assert [trial.state for trial in search.trials] == ["finished"] * 3
    for trial in search.trials:
        summary = json.loads((tmp_path / f"sweep/{trial.number}/summary.json").read_text())
        assert trial.values == (summary["val/loss"],)
        config = OmegaConf.load(tmp_path / f"sweep/{trial.number}/config.yaml")
        for name, value in trial.params.items():
            assert OmegaConf.select(config, name) == value
    assert (tmp_path / "sweep/report.html").is_file()
    finished = command("task=search_report", "runs=[sweep]")
    assert finished.returncode == 0, finished.stderr  # type: ignore[attr-defined]
    assert "sweep/report.html" in finished.stdout  # type: ignore[attr-defined]


def test_a_search_without_m_is_told() -> None:
    with pytest.raises(ConfigError, match="`search=mcts_attention` runs many trials: add -m"):
        check(["+search=mcts_attention"], conf_dir())


def test_all_faults_of_a_sweep_are_told_together() -> None:
    with pytest.raises(ConfigError) as raised:
        sweep_config(
            "optimizer.lrr=interval(1,2)", "attention=dot,l9", "modle=3", "data.batch_size=0"
        )
    faults = "\n".join(raised.value.faults)
    assert len(raised.value.faults) == 4
    assert (
        "`optimizer.lrr` (command line): there is no such key; did you mean `optimizer.lr`"
        in faults
    )
    assert "`attention`=l9 (command line): `attention` has no such option" in faults


def test_glob_and_tags_are_no_faults() -> None:
    sweep_config(
        "hydra/sweeper=mcts", "attention=glob(*)", "optimizer.lr=tag(log,interval(1e-4,1))"
    )


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (("hydra/sweeper=mcts", "hydra.sweeper.n_trails=3"), "did you mean `n_trials`"),
        (("hydra/sweeper=mtcs",), "did you mean `mcts`"),
        (
            ("hydra/sweeper=mcts", "+hydra.sweeper.params={optimizer.lrr:'interval(1,2)'}"),
            r"`optimizer.lrr` \(hydra.sweeper.params\): there is no such key",
        ),
        (
            ("attention=interval(1,2)",),
            r"a group has options, not a range; .*`attention=glob\(\*\)`",
        ),
        (("seed=range(1",), "cannot be read"),
        (("+search=mcts_attention", "score=composite"), "hydra.sweeper.direction=maximize"),
    ],
)
def test_a_fault_of_a_sweep_is_told_before_it_starts(
    overrides: tuple[str, ...], fault: str
) -> None:
    with pytest.raises(ConfigError, match=fault):
        sweep_config(*overrides)


def test_a_launcher_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(options.EXTRA_OF_OPTION, "hydra/launcher=cloud", "cloud")
    with pytest.raises(ConfigError, match=r"not installed: `pip install 'infinito\[cloud\]'`"):
        sweep_config("hydra/launcher=cloud")
