"""Comparison: seeds grouped, differences named, nothing compared that cannot be."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from scipy import stats

from infinito.config import RunConf
from infinito.errors import CheckpointError, ConfigError
from infinito.run_folder.finished_runs import read_finished
from infinito.tasks import compare
from infinito.tasks.compare import (
    describe_difference,
    group_by_configuration,
    has_same_tokenizer,
    label_group,
)

Trained = Callable[..., Path]
Configured = Callable[..., RunConf]


def printed_by(configured: Configured, capsys: pytest.CaptureFixture[str], *runs: Path) -> str:
    """What the comparison of these folders prints."""
    capsys.readouterr()
    compare.run(
        configured("task=compare", f"runs=[{','.join(map(str, runs))}]"), Path("unused"), []
    )
    return capsys.readouterr().out


def test_equal_numbers_are_identical_runs_not_p_nan() -> None:
    assert describe_difference([1.5, 1.5], [1.5, 1.5]) == "identical runs"
    assert describe_difference([1.5, 1.5], [1.6, 1.6]) == "no spread over seeds: no test"
    assert describe_difference([1.5], [1.6]) == "one seed: no interval"


def test_welch_agrees_with_scipy() -> None:
    first, second = [1.0, 1.2, 1.1], [2.0, 2.3, 1.9]
    p = stats.ttest_ind(second, first, equal_var=False).pvalue
    assert f"p = {p:.2g}" in describe_difference(first, second)


def test_groups_have_letters_however_many() -> None:
    assert [label_group(number) for number in (0, 25, 26, 52)] == ["A", "Z", "AA", "BA"]


def test_seeds_are_grouped_and_sweeps_compared(
    trained: Trained, configured: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [
        trained(f"seed={seed}", f"optimizer.lr={lr}", folder=f"sweep/{lr}-{seed}")
        for lr in (0.001, 0.01)
        for seed in (0, 1)
    ]
    groups = group_by_configuration([read_finished(folder) for folder in folders])
    assert [len(group) for group in groups] == [2, 2]
    printed = printed_by(configured, capsys, folders[0].parent)
    for words in ("optimizer.lr", "val/loss", "p ="):
        assert words in printed
    assert "okenizers differ" not in printed
    (folders[0] / "summary.json").unlink()
    assert f"left out, as they have not finished: {folders[0]}" in printed_by(
        configured, capsys, folders[0].parent
    )
    with pytest.raises(CheckpointError, match="has not finished"):
        printed_by(configured, capsys, *folders)
    with pytest.raises(ConfigError, match="two finished runs or more, and `runs` names 1"):
        printed_by(configured, capsys, folders[1])


def test_other_tokenizers_are_compared_by_bits_per_byte_alone(
    trained: Trained, finished: Trained, configured: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    one = finished(folder="a")
    other = trained("tokenizer=bpe", "tokenizer.vocab_size=300", folder="b")
    printed = printed_by(configured, capsys, one, other)
    rows = {line.split()[0]: line for line in printed.splitlines() if line.strip()}
    assert "Tokenizers differ (A from B): loss and perplexity are per token" in printed
    assert "other tokens" in rows["val/loss"]
    assert "other tokens" in rows["val/perplexity"]
    assert "one seed: no interval" in rows["val/bits_per_byte"]


def test_tokenizers_without_files_are_compared_by_settings(finished: Trained) -> None:
    """A tokenizer trained on more of the text is another one; other batches leave it as it is."""
    one = read_finished(finished(folder="a"))
    for path in (one.folder / "model").iterdir():
        path.unlink()
    for key, value, same in (("batch_size", 3, True), ("max_bytes", 9, False)):
        data = {**one.values["data"], key: value}
        other = type(one)(one.folder, {**one.values, "data": data}, one.summary)
        assert has_same_tokenizer(one, other) is same
