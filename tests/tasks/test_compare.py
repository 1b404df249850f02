"""Comparison: seeds grouped, differences named, nothing compared that cannot be."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from infinito.config import RunConf
from infinito.errors import CheckpointError, ConfigError
from infinito.run_folder.comparison import has_same_tokenizer, make_groups
from infinito.run_folder.finished_runs import read_finished
from infinito.tasks import compare

Trained = Callable[..., Path]
Configured = Callable[..., RunConf]


def printed_by(configured: Configured, capsys: pytest.CaptureFixture[str], *runs: Path) -> str:
    """What the comparison of these folders prints; its page lies beside the first of them."""
    capsys.readouterr()
    place = runs[0].parent.parent / "comparison"
    compare.run(configured("task=compare", f"runs=[{','.join(map(str, runs))}]"), place, [])
    return capsys.readouterr().out


def test_seeds_are_grouped_and_sweeps_compared(
    trained: Trained, configured: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [
        trained(f"seed={seed}", f"optimizer.lr={lr}", folder=f"sweep/{lr}-{seed}")
        for lr in (0.001, 0.01)
        for seed in (0, 1)
    ]
    groups = make_groups([read_finished(folder) for folder in folders])
    assert [len(group.runs) for group in groups] == [2, 2]
    printed = printed_by(configured, capsys, folders[0].parent)
    for words in ("optimizer.lr", "val/loss", "p =", "(paired)", "comparison.html"):
        assert words in printed
    place = folders[0].parent.parent.parent / "comparison"
    html = (place / "comparison.html").read_text(encoding="utf-8")
    assert "4 runs in 2 groups" in html
    for folder in folders:
        (link,) = re.findall(rf'href="([^"]*{folder.name}/report.html)"', html)
        assert (place / link).resolve() == (folder / "report.html").resolve()
    (data,) = re.findall(r'id="plots">(.*?)</script>', html)
    plots = {plot["title"]: plot for plot in json.loads(data)}
    assert plots["Validation loss"]["axes"] == ["step", "epoch", "tokens", "seconds"]
    assert [len(curve["low"]) for curve in plots["Validation loss"]["curves"]] == [2, 2]
    with (place / "comparison.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [(row["group"], row["seed"], row["optimizer.lr"]) for row in rows] == [
        ("A", "0", "0.001"),
        ("A", "1", "0.001"),
        ("B", "0", "0.01"),
        ("B", "1", "0.01"),
    ]
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
