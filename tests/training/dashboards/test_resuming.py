"""A training that is stopped and resumed goes on in the same run of its dashboard."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infinito import run as program
from infinito.cli.continuation import effective_values
from infinito.cli.typed_values import parse
from infinito.run_folder.folder import saved_values
from infinito.run_folder.series.metrics_file import read_metrics
from infinito.training.callbacks.interruption import Interrupted
from infinito.training.module.language_model import LanguageModelTask
from tests.training.dashboards.records import read_records

pytestmark = pytest.mark.filterwarnings("default")  # these packages' own are many

Losses = list[tuple[int, float]]


def read_wandb(folder: Path, run_id: str, _: str) -> Losses:
    """Return steps and losses of all parts of a run that are to be sent."""
    parts = sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))
    assert len(parts) == 2
    found = []
    for each in (record for part in parts for record in read_records(part)):
        if each.HasField("run"):
            assert each.run.run_id == run_id
        items = {
            item.key or item.nested_key[0]: json.loads(item.value_json)
            for item in each.history.item
        }
        if "train/loss" in items:
            found.append((items["trainer/global_step"], items["train/loss"]))
    return found


def read_mlflow(_: Path, run_id: str, place: str) -> Losses:
    """Return steps and losses of a run, which must be the only one of its experiment."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(place)
    run = client.get_run(run_id)
    assert [each.info.run_id for each in client.search_runs([run.info.experiment_id])] == [run_id]
    assert run.info.status == "FINISHED"
    return [(each.step, each.value) for each in client.get_metric_history(run_id, "train/loss")]


def read_trackio(_: Path, run_id: str, __: str) -> Losses:
    """Return steps and losses of a run, which must be the only one of its project."""
    from trackio.sqlite_storage import SQLiteStorage

    assert SQLiteStorage.get_runs("resumed sheep") == [run_id]
    rows = SQLiteStorage.get_logs("resumed sheep", run_id)
    return [(row["step"], row["train/loss"]) for row in rows if "train/loss" in row]


@pytest.mark.parametrize(
    ("package", "words", "read"),
    [
        ("wandb", ["logger.offline=true"], read_wandb),
        ("mlflow", ["logger.experiment=sheep"], read_mlflow),
        ("trackio", ["logger.project=resumed sheep"], read_trackio),
    ],
)
def test_a_resumed_training_goes_on_in_the_same_run(
    trained: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    package: str,
    words: list[str],
    read: Callable[[Path, str, str], Losses],
) -> None:
    pytest.importorskip(package)
    original, calls = LanguageModelTask.training_step, []

    def stop_in_the_fifth(self: LanguageModelTask, *args: Any) -> Any:
        calls.append(1)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGTERM)
        return original(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(LanguageModelTask, "training_step", stop_in_the_fifth)
        with pytest.raises(Interrupted):
            trained(f"logger={package}", *words)
    folder = tmp_path / "run"
    begun = json.loads((folder / "logger.json").read_text())
    values = {**saved_values(folder), "resume": str(folder)}
    program.execute(parse(effective_values(values, [f"resume={folder}"])), folder)
    assert json.loads((folder / "logger.json").read_text())["run_id"] == begun["run_id"]
    logged = dict(read(folder, begun["run_id"], begun["place"]))
    metrics = read_metrics(folder)
    assert list(logged.values()) == pytest.approx([each for each in metrics["train/loss"] if each])
    assert sorted(logged) == list(range(min(logged), min(logged) + 6))
