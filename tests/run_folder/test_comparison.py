"""What is compared with what, which test is made, and what the verdict says."""

from __future__ import annotations

from pathlib import Path

import pytest
from scipy import stats

from infinito.run_folder.comparison import (
    Group,
    compare_groups,
    describe_difference,
    judge_groups,
    label_group,
    list_differences,
    list_metrics,
    make_groups,
)
from infinito.run_folder.finished_runs import FinishedRun

TEXT = {"data": {"name": "text"}, "tokenizer": {"name": "char"}, "model": {}}


def group(label: str, figures: dict[int, float], metric: str = "val/loss") -> Group:
    """Runs with these figures, by seed."""
    runs = [
        FinishedRun(Path(f"{label}{seed}"), {**TEXT, "seed": seed, "lr": label}, {metric: value})
        for seed, value in figures.items()
    ]
    return Group(label, runs)


def by_seed(*values: float) -> dict[int, float]:
    return dict(enumerate(values))


def test_equal_numbers_are_identical_runs_not_p_nan() -> None:
    same = by_seed(1.5, 1.5)
    assert describe_difference(same, same) == "identical runs"
    assert describe_difference(same, by_seed(1.6, 1.6)) == "no spread over seeds: no test"
    assert describe_difference(same, {7: 1.6, 8: 1.6}) == "no spread over seeds: no test"
    assert describe_difference({0: 1.5}, {0: 1.6}) == "one seed: no interval"


def test_shared_seeds_are_compared_in_pairs() -> None:
    first, second = [1.0, 2.0, 3.0], [1.1, 2.2, 3.2]
    found = compare_groups(by_seed(*first), {2: 3.2, 0: 1.1, 1: 2.2})
    assert not isinstance(found, str)
    (gain, p_value), test = found
    assert test == "paired"
    assert gain.mean == pytest.approx(0.5 / 3)
    assert p_value == pytest.approx(stats.ttest_rel(second, first).pvalue)


def test_other_seeds_are_compared_by_welch() -> None:
    first, second = [1.0, 1.2, 1.1], [2.0, 2.3, 1.9]
    found = describe_difference(by_seed(*first), {5: 2.0, 6: 2.3, 7: 1.9})
    p_value = stats.ttest_ind(second, first, equal_var=False).pvalue
    assert f"p = {p_value:.2g} (Welch)" in found


def test_groups_have_letters_however_many() -> None:
    assert [label_group(number) for number in (0, 25, 26, 52)] == ["A", "Z", "AA", "BA"]


def test_groups_are_configurations_over_seeds() -> None:
    runs = [*group("x", by_seed(1.0, 2.0)).runs, *group("y", {0: 3.0}).runs]
    groups = make_groups(runs)
    assert [len(each.runs) for each in groups] == [2, 1]
    assert list_differences(groups) == {"lr": ["x", "y"]}
    assert list_metrics(groups) == ["val/loss"]


def test_two_runs_of_a_seed_both_count() -> None:
    runs = [FinishedRun(Path("a"), {**TEXT, "seed": 3}, {"val/loss": v}) for v in (1.0, 2.0)]
    assert sorted(Group("A", runs).read("val/loss").values()) == [1.0, 2.0]


def test_a_clear_difference_is_called_one() -> None:
    one, other = group("A", by_seed(2.0, 2.1, 2.2)), group("B", by_seed(1.0, 1.12, 1.19))
    verdict, is_real = judge_groups([one, other], "val/loss")
    assert is_real
    assert verdict.startswith("B has a lower val/loss than A by ")
    assert "paired test)" in verdict


def test_chance_is_called_chance() -> None:
    one, other = group("A", by_seed(1.0, 1.4, 1.2)), group("B", by_seed(1.2, 1.0, 1.35))
    verdict, is_real = judge_groups([one, other], "val/loss")
    assert not is_real
    assert verdict.startswith("No difference is shown")


def test_where_more_is_better_the_greater_wins_and_many_groups_are_corrected_for() -> None:
    groups = [
        group(name, by_seed(*values), "val/return")
        for name, values in (("A", (1.0, 1.1)), ("B", (3.0, 3.3)), ("C", (2.0, 2.3)))
    ]
    verdict, _ = judge_groups(groups, "val/return")
    assert "B has a higher val/return than A" in verdict
    assert "corrected for 2 comparisons" in verdict
