"""The record of a run: its threads, its inputs, and what all processes must agree on."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from infinito.config import RunConf
from infinito.errors import ResumeError
from infinito.run_folder.pins import KEY, Input
from infinito.training.recording import RunRecord, recorded

log = logging.getLogger("infinito.test")


@pytest.fixture
def record(configured: Callable[..., RunConf], tmp_path: Path) -> RunRecord:
    """The record of a new run that has read one text."""
    with recorded(configured(), tmp_path / "run", []):
        new = RunRecord(tmp_path / "run", None, log)
    new.pin([Input("train text", "a.txt", "1234")])
    return new


@pytest.fixture
def threads() -> Iterator[int]:
    """The threads of this process, which it has again after the test."""
    count = torch.get_num_threads()
    yield count
    torch.set_num_threads(count)


def test_a_resumed_run_uses_the_threads_that_it_began_with(
    record: RunRecord,
    configured: Callable[..., RunConf],
    threads: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    conf = configured("trainer.threads=null")
    record.use_threads(conf, log)
    assert record.values["threads"] == threads
    resumed = RunRecord(record.folder, {KEY: {**record.values, "threads": threads + 1}}, log)
    resumed.use_threads(conf, log)
    assert torch.get_num_threads() == threads + 1
    assert f"began with {threads + 1} CPU threads" in caplog.text


def test_a_changed_input_is_refused_and_an_equal_one_is_not(record: RunRecord) -> None:
    resumed = RunRecord(record.folder, {KEY: record.values}, log)
    resumed.pin([Input("train text", "a.txt", "1234")])
    with pytest.raises(ResumeError, match=r"train text.*(?s:.*)`checkpoint=.*run`"):
        resumed.pin([Input("train text", "a.txt", "5678")])


def test_a_run_of_an_older_version_is_recorded_from_now_on(
    record: RunRecord, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        old = RunRecord(record.folder, {"state_dict": {}}, log)
    assert old.is_new
    assert "was begun before runs recorded what they read" in caplog.text


def test_processes_agree_on_code_configuration_and_inputs(
    record: RunRecord, configured: Callable[..., RunConf]
) -> None:
    one, same, other = (record.identity(configured(f"seed={seed}")) for seed in (0, 0, 1))
    assert one == same
    assert one["train text"] == "1234"
    assert {name for name in one if one[name] != other[name]} == {"configuration"}
