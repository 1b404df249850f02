"""Versions of the search: equal trials and seeds have equal proposals within one version."""

from __future__ import annotations

VERSION = 3

CHANGES = {
    2: "scores that span decades are searched by their logarithms, plateaus by the Sobol sequence, "
    "and the surrogate learns from at most 200 trials",
    3: "with `hydra.sweeper.fidelity`, the surrogate learns from the scores of paused trials, "
    "which had counted as failures",
}
"""What each version proposes otherwise than the one before."""


def describe_changes(version: int) -> str:
    """Return what has changed in the proposals since an earlier version."""
    return "; ".join(text for number, text in sorted(CHANGES.items()) if number > version)
