"""Differences of return in words."""

from __future__ import annotations

from infinito.rl.evaluation.comparison import describe_difference


def test_verdicts() -> None:
    for low, high, words in (
        (0.1, 0.2, "better than static PHI"),
        (-0.2, -0.1, "worse than static PHI"),
        (-0.1, 0.1, "no difference to static PHI is shown"),
    ):
        assert describe_difference({"low": low, "high": high}, "static PHI") == words
