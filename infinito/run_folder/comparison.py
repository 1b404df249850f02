"""Compares finished runs: groups over seeds, what differs in them, and whether it is chance."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from infinito.run_folder.finished_runs import FinishedRun
from infinito.run_folder.folder import difference
from infinito.statistics import Comparison, paired_difference, welch_test

PER_TOKEN = ("val/loss", "val/perplexity")
"""Metrics per token, which runs with different tokenizers cannot be compared by."""
LESS_IS_BETTER = {
    **dict.fromkeys((*PER_TOKEN, "val/bits_per_byte", "val/word_perplexity"), True),
    **dict.fromkeys(("val/return", "held_out/accuracy", "held_out/margin"), False),
}
"""Whether less is better, by the metrics of a summary; the first that all runs have decides."""
METRICS = tuple(LESS_IS_BETTER)
IGNORED = ("seed", "name", "resume", "dry_run", "runs_dir", "logger")
"""Keys and sections that may differ between the runs of one group."""
TEXT_KEYS = ("name", "path", "parts", "max_bytes", "valid_fraction", "test_fraction")
"""Keys of `data` that choose the text a tokenizer is trained on."""
LEVEL = 0.05
"""Probability of the luck that is called no luck."""


@dataclass(frozen=True)
class Group:
    """Runs that differ in nothing but the seed."""

    label: str
    runs: Sequence[FinishedRun]

    @property
    def values(self) -> Mapping[str, Any]:
        """The configuration, the same in all runs but for the seed."""
        return self.runs[0].values

    def read(self, metric: str) -> dict[int, float]:
        """Return a figure of each run's summary by seed and order; runs without it are left out."""
        found: dict[int, float] = {}
        for each in self.runs:
            value = each.summary.get(metric)
            if isinstance(value, int | float) and not isinstance(value, bool):
                found[_find_seed(each, found)] = float(value)
        return found


def make_groups(runs: Sequence[FinishedRun]) -> list[Group]:
    """Return groups of runs that differ in nothing but the seed, in order of appearance."""
    groups: dict[str, list[FinishedRun]] = defaultdict(list)
    for each in runs:
        kept = {key: value for key, value in each.values.items() if key not in IGNORED}
        groups[json.dumps(kept, sort_keys=True)].append(each)
    return [Group(label_group(number), own) for number, own in enumerate(groups.values())]


def label_group(number: int) -> str:
    """Return A to Z, then AA, AB …"""
    first, last = divmod(number, 26)
    return (label_group(first - 1) if first else "") + chr(ord("A") + last)


def list_differences(groups: Sequence[Group]) -> dict[str, list[Any]]:
    """Return the settings that differ between groups: the value of each group by dotted key."""
    first = groups[0].values
    keys = {
        key
        for group in groups
        for key, _, _ in difference(first, group.values)
        if key.partition(".")[0] not in IGNORED
    }
    return {key: [_select(group.values, key) for group in groups] for key in sorted(keys)}


def list_metrics(groups: Sequence[Group]) -> list[str]:
    """Return the metrics that every run has, each once, in the order of their weight.

    Loss and perplexity are left out where tokenizers differ.
    """
    same = all(has_same_tokenizer(groups[0].runs[0], group.runs[0]) for group in groups)
    complete = [m for m in METRICS if all(len(g.read(m)) == len(g.runs) for g in groups)]
    return [metric for metric in complete if same or metric not in PER_TOKEN]


def has_same_tokenizer(first: FinishedRun, other: FinishedRun) -> bool:
    """Return whether two runs have the same tokenizer, by its file or else by its settings."""
    files = [each.folder / "model/tokenizer.json" for each in (first, other)]
    if all(path.is_file() for path in files):
        one, another = (path.read_bytes() for path in files)
        return one == another
    return _tokenizer_settings(first.values) == _tokenizer_settings(other.values)


def compare_groups(
    first: Mapping[int, float], second: Mapping[int, float]
) -> tuple[Comparison, str] | str:
    """Compare figures by seed: second − first.

    Where both have the same seeds, run by run, which takes out what a seed does to both; Welch's
    test otherwise.

    Returns:
        Difference with p-value and the name of the test, or why there is none: a test on equal
        numbers proves nothing.
    """
    one, other = list(first.values()), list(second.values())
    if len({*one, *other}) == 1:
        return "identical runs"
    if min(len(one), len(other)) < 2:
        return "one seed: no interval"
    if first.keys() == second.keys():
        after = [second[seed] for seed in first]
        if np.ptp(np.subtract(after, one)) == 0:
            return "no spread over seeds: no test"
        return paired_difference(after, one), "paired"
    if np.ptp(one) == 0 and np.ptp(other) == 0:
        return "no spread over seeds: no test"
    return welch_test(other, one), "Welch"


def describe_difference(first: Mapping[int, float], second: Mapping[int, float]) -> str:
    """Return second − first with interval, p-value and test, or why there is none."""
    found = compare_groups(first, second)
    if isinstance(found, str):
        return found
    (gain, p_value), test = found
    return f"{gain.mean:.3g} [{gain.low:.3g}, {gain.high:.3g}], p = {p_value:.2g} ({test})"


def judge_groups(groups: Sequence[Group], metric: str) -> tuple[str, bool]:
    """Return which group is best by a metric, and whether chance would do as an explanation.

    The best is compared with the first group, or, if it is the first, with the next best. With
    more than two groups the p-value is multiplied by the number of groups that might have been the
    best (Bonferroni).

    Returns:
        A sentence, and whether it says that the difference is real.
    """
    sign = 1 if LESS_IS_BETTER[metric] else -1
    means = [float(np.mean(list(group.read(metric).values()))) for group in groups]
    order = sorted(range(len(groups)), key=lambda place: sign * means[place])
    best, rival = groups[order[0]], groups[0 if order[0] else order[1]]
    found = compare_groups(rival.read(metric), best.read(metric))
    if isinstance(found, str):
        return f"{best.label} has the best {metric}, beside {rival.label}: {found}.", False
    (gain, p_value), test = found
    p_value = min(1.0, p_value * (len(groups) - 1))
    corrected = f", corrected for {len(groups) - 1} comparisons" if len(groups) > 2 else ""
    way = "lower" if gain.mean < 0 else "higher"
    size = (
        f"by {abs(gain.mean):.3g} (95 % interval {min(abs(gain.low), abs(gain.high)):.3g} to "
        f"{max(abs(gain.low), abs(gain.high)):.3g}"
        if gain.low * gain.high > 0
        else f"by {abs(gain.mean):.3g} (95 % interval of the difference {gain.low:+.3g} to "
        f"{gain.high:+.3g}"
    )
    evidence = f"{size}, p = {p_value:.2g}, {test} test{corrected})"
    if p_value < LEVEL:
        return f"{best.label} has a {way} {metric} than {rival.label} {evidence}.", True
    return (
        f"No difference is shown: {best.label} has a {way} {metric} than {rival.label} {evidence}, "
        "which chance explains as well.",
        False,
    )


def _find_seed(run: FinishedRun, taken: Mapping[int, float]) -> int:
    """Return a run's seed, or one below 0 where a run of the group has that seed already."""
    seed = int(run.values.get("seed", 0))
    return -1 - len(taken) if seed in taken else seed


def _tokenizer_settings(values: Mapping[str, Any]) -> tuple[Any, ...]:
    tokenizer, data, model = (values[name] for name in ("tokenizer", "data", "model"))
    if tokenizer.get("name") == "pretrained":
        return (tokenizer, model.get("path"))
    return (tokenizer, *(data.get(key) for key in TEXT_KEYS))


def _select(values: Mapping[str, Any], key: str) -> Any:
    found: Any = values
    for part in key.split("."):
        if not isinstance(found, Mapping):
            return None
        found = found.get(part)
    return found
