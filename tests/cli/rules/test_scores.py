"""A misspelt score is refused before a training, in a sweep too."""

from __future__ import annotations

import pytest

from infinito.cli.composition import check
from infinito.errors import ConfigError
from infinito.paths import conf_dir


@pytest.mark.parametrize(
    ("overrides", "sweep", "message"),
    [
        (("score=val/los",), False, "`score`=val/los: `task=train` has no such figure; did you"),
        (("task=trial", "score='val/loss,elapsed'"), False, "`score`=elapsed: .*`elapsed_s`"),
        (("score='val/loss,val/perplexity'",), False, "`task=train` has no such figure"),
        (("+experiment=dpo", "score=held_out/acuracy"), False, "did you mean `held_out/accuracy`"),
        (("+search=mcts_attention", "score=val/los"), True, "`score`=val/los: `task=trial` has"),
        (("+search=mcts_rl", "score=val/retrun"), True, "`task=rl_scheduler` .*`val/return`"),
        (("score=composite", "seed=0,1"), True, "`score`=composite: `task=train` has no such"),
    ],
)
def test_a_misspelt_score_is_refused(overrides: tuple[str, ...], sweep: bool, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check(overrides, conf_dir(), sweep=sweep)


@pytest.mark.parametrize(
    "overrides",
    [
        ("score=val/bits_per_byte",),
        ("task=trial", "score='val/loss, step_s'"),
        ("+experiment=rl_quick", "score=rl/return_mean"),
        ("task=list",),
    ],
)
def test_a_figure_of_the_task_is_taken(overrides: tuple[str, ...]) -> None:
    check(overrides, conf_dir())


@pytest.mark.parametrize(
    ("overrides", "score"),
    [
        (("task=rl_scheduler",), "val/cost"),
        (("task=trial",), "val/loss"),
        (("+experiment=dpo",), "held_out/accuracy"),
        (("task=rl_scheduler", "score=val/return"), "val/return"),
    ],
)
def test_each_task_has_a_score_of_its_own(overrides: tuple[str, ...], score: str) -> None:
    assert check(overrides, conf_dir()).score == score


def test_skills_are_scores_of_runs_that_teach_them() -> None:
    check(["data=skills", "score=skills/mean"], conf_dir())
    with pytest.raises(ConfigError, match="`score`=skills/mean: `task=train` has no such figure"):
        check(["score=skills/mean"], conf_dir())


def test_no_skills_are_no_data() -> None:
    with pytest.raises(ConfigError, match=r"`data.skills` is empty"):
        check(["data=skills", "data.skills=[]"], conf_dir())
