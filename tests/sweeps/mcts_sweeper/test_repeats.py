"""Noisy scores through Hydra: seeds of repeats, confirmation, resuming."""

from __future__ import annotations

from pathlib import Path

import pytest
from omegaconf import OmegaConf

from infinito.errors import ConfigError
from infinito.search.search import FIRST_FRESH
from infinito.sweeps.record.journal import read
from tests.sweeps.mcts_sweeper.tiny_sweeps import Swept, proposals, scores_of, trials_of

NOISY = ("noise=0.05", "hydra.output_subdir=.hydra")


def seeds_of(folder: Path) -> list[int]:
    """The seed that each trial ran with, in their order."""
    numbers = range(len(trials_of(folder)))
    return [int(OmegaConf.load(folder / f"{n}/.hydra/config.yaml").seed) for n in numbers]


def test_repeats_count_up_from_the_configured_seed(swept: Swept) -> None:
    settings = ("hydra.sweeper.repeats=2", "hydra.sweeper.n_trials=5", "hydra.sweeper.confirm=0")
    folder = swept(*NOISY, *settings)
    assert seeds_of(folder) == [7, 8, 7, 8, 7]
    points = proposals(folder)
    assert points[0] == points[1] != points[2] == points[3] != points[4]
    results = OmegaConf.load(folder / "optimization_results.yaml")
    assert results.recommended_params in points
    assert "confirmed" not in results


def test_the_recommended_setting_is_confirmed_against_the_defaults(
    swept: Swept, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = (
        "hydra.sweeper.repeats=auto",
        "hydra.sweeper.n_trials=12",
        "hydra.sweeper.confirm=3",
    )
    folder = swept(*NOISY, *settings, "hydra.sweeper.report=true", "seed=20")
    trials = trials_of(folder)
    assert [trial.confirms for trial in trials[12:]] == ["recommended", "defaults"] * 3
    assert seeds_of(folder)[12:] == [20 + FIRST_FRESH + n for n in (0, 0, 1, 1, 2, 2)]
    confirmed = OmegaConf.load(folder / "optimization_results.yaml").confirmed
    scores = scores_of(folder)
    fresh, others = scores[12::2], scores[13::2]
    assert confirmed.score == pytest.approx(sum(fresh) / 3)
    low, high = confirmed.score_interval
    assert low < confirmed.score < high
    assert confirmed.difference == pytest.approx((sum(fresh) - sum(others)) / 3)
    best = min(scores[:12])
    assert confirmed.optimism_of_best_value == pytest.approx(confirmed.score - best)
    said = capsys.readouterr().out
    assert "with 3 fresh seeds" in said
    assert "the best score that was seen flatters by" in said
    assert "Recommended" in (folder / "report.html").read_text()
    before = (folder / "journal.jsonl").read_bytes()
    swept(*NOISY, *settings, "seed=20", "hydra.sweeper.resume=sweep")
    assert (folder / "journal.jsonl").read_bytes() == before  # nothing is confirmed twice


def test_more_trials_are_confirmed_anew(swept: Swept) -> None:
    settings = ("hydra.sweeper.repeats=2", "hydra.sweeper.confirm=1")
    folder = swept(*NOISY, *settings, "hydra.sweeper.n_trials=4")
    first = len(trials_of(folder))
    swept(*NOISY, *settings, "hydra.sweeper.n_trials=8", "hydra.sweeper.resume=sweep")
    trials = trials_of(folder)
    own = [trial for trial in trials if trial.confirms is None]
    assert len(own) == 8
    assert first in (5, 6)
    assert trials[first].confirms is None


def test_an_exact_search_confirms_its_best_where_asked_to(swept: Swept) -> None:
    folder = swept("hydra.sweeper.confirm=2", "hydra.sweeper.n_trials=4", *NOISY)
    trials = trials_of(folder)
    scores = scores_of(folder)[:4]
    assert trials[4].params == trials[scores.index(min(scores))].params


def test_a_journal_without_these_keys_goes_on(swept: Swept) -> None:
    """A plan of an earlier version has neither repeats nor fidelity."""
    from infinito.sweeps.record.journal import Journal

    folder = swept()
    events = read(folder / "journal.jsonl")
    (folder / "journal.jsonl").unlink()
    with Journal(folder / "journal.jsonl") as journal:
        for event in events[1:]:
            if event["event"] == "begin":
                for key in ("repeats", "fidelity"):
                    del event["plan"][key]
            journal.append(event)
    swept("hydra.sweeper.resume=sweep", "hydra.sweeper.n_trials=5")
    assert proposals(folder) == proposals(swept("hydra.sweeper.n_trials=5", folder="calm"))


@pytest.mark.parametrize(
    ("overrides", "fault"),
    [
        (["hydra.sweeper.repeats=0"], "repeats`=0: expected a whole number of at least 1"),
        (["hydra.sweeper.repeats=many"], "repeats`=many: expected a whole number"),
        (["hydra.sweeper.confirm=-1"], "confirm`=-1: expected 0 or more, or null"),
        (["hydra.sweeper.repeats=auto", "hydra.sweeper.strategy=uct"], "needs `hydra.sweeper.str"),
        (["hydra.sweeper.repeats=2", "seed=1,2"], "and `seed` is searched"),
        (["hydra.sweeper.repeats=2", "seed=null"], "configuration's is None; expected a whole"),
        (
            ["hydra.sweeper.confirm=2", "hydra.sweeper.direction=[minimize,minimize]"],
            "confirm`=2 compares one score",
        ),
    ],
)
def test_repeats_that_make_no_sense(swept: Swept, overrides: list[str], fault: str) -> None:
    with pytest.raises(ConfigError, match=fault):
        swept(*overrides)
    assert not Path("sweep").exists()
