"""metrics.csv: what pandas reads from it, and what is left of it after kills."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from infinito.run_folder.series.metrics_file import CLOCKS, MetricsFile, read_metrics


def written(folder: Path) -> list[list[str]]:
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.reader(file))


def without_clocks(folder: Path) -> dict[str, list[float | None]]:
    return {name: each for name, each in read_metrics(folder).items() if name not in CLOCKS}


def train(folder: Path, first: int, last: int, resumed_step: int | None = None) -> None:
    """Figures of the steps from `first` to `last`, and a validation after every third."""
    file = MetricsFile(folder, {"epoch": 0.25}, resumed_step)
    for step in range(first, last + 1):
        file.write(step, {"train/loss": 1 / step})
        if step % 3 == 0:
            file.write(step, {"val/loss": 2 / step})
    file.sync()


def test_a_row_a_step_and_columns_that_come_later(tmp_path: Path) -> None:
    train(tmp_path, 1, 4)
    head, *rows = written(tmp_path)
    assert head == ["step", "epoch", "seconds", "train/loss", "val/loss"]
    assert [(row[0], row[1], row[4]) for row in rows] == [
        ("1", "0.25", ""),
        ("2", "0.5", ""),
        ("3", "0.75", repr(2 / 3)),
        ("4", "1", ""),
    ]
    assert read_metrics(tmp_path)["val/loss"] == [None, None, 2 / 3, None]


def test_pandas_reads_numbers_and_gaps(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    train(tmp_path, 1, 6)
    table = pandas.read_csv(tmp_path / "metrics.csv")
    assert table["step"].tolist() == [1, 2, 3, 4, 5, 6]
    assert table["val/loss"].dropna().tolist() == [2 / 3, 2 / 6]
    assert table["train/loss"].tolist() == [1 / step for step in range(1, 7)]


@pytest.mark.parametrize("resumed_step", [0, 1, 2, 3, 5])
def test_a_resumed_run_has_the_file_of_an_undisturbed_one(
    tmp_path: Path, resumed_step: int
) -> None:
    """Also where a validation that the killed part had reached comes after the checkpoint."""
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    for folder in (whole, killed):
        folder.mkdir()
    train(whole, 1, 9)
    train(killed, 1, 6)
    train(killed, resumed_step + 1, 9, resumed_step)
    assert list(without_clocks(whole).items()) == list(without_clocks(killed).items())
    seconds = [each or 0.0 for each in read_metrics(killed)["seconds"]]
    assert seconds == sorted(seconds)


def test_a_line_that_a_dying_machine_cut_short_is_left_out(tmp_path: Path) -> None:
    train(tmp_path, 1, 5)
    path = tmp_path / "metrics.csv"
    path.write_bytes(path.read_bytes()[:-4])
    assert read_metrics(tmp_path)["step"] == [1, 2, 3, 4]
    train(tmp_path, 4, 5, resumed_step=3)
    assert read_metrics(tmp_path)["step"] == [1, 2, 3, 4, 5]


def test_the_validation_of_a_step_may_be_written_twice(tmp_path: Path) -> None:
    file = MetricsFile(tmp_path)
    file.write(3, {"val/loss": 1.25, "x": 123456.5})
    file.write(3, {"val/loss": 1.0})
    file.write(4, {"val/loss": 0.5})
    assert read_metrics(tmp_path)["val/loss"] == [1.0, 0.5]
    assert len(written(tmp_path)) == 3


def test_numbers_come_back_as_they_were(tmp_path: Path) -> None:
    values = {"a": 0.1 + 0.2, "b": 1e300, "c": -0.0, "d": float("inf"), "e": 2.0**60, 'f,"g': 1.5}
    MetricsFile(tmp_path).write(7, values)
    MetricsFile(tmp_path, resumed_step=7).write(8, {"a": float("nan")})
    columns = read_metrics(tmp_path)
    assert {name: columns[name][0] for name in values} == values
    assert str(columns["a"][1]) == "nan"


def test_without_a_file_there_are_no_columns(tmp_path: Path) -> None:
    assert read_metrics(tmp_path) == {}
