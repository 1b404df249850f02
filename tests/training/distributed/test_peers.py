"""Processes of one training save and stop together, and none waits for one that is gone."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from infinito.config import RunConf
from infinito.errors import ConfigError, LostProcessError, NonFiniteError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.training.distributed.peers import (
    Farewell,
    Peers,
    _decode,
    _encode,
    refuse_differences,
)
from tests.ranks import Ranks

Configured = Callable[..., RunConf]

TWO = ("trainer=ddp", "trainer.devices=2", "trainer.epochs=null")
SAVES = {"infinito.training.callbacks.milestones.SAVE_EVERY_S": 0.4}
LONG = ("trainer.max_steps=100000", "trainer.validate_every=100000")


def last_of(folder: Path) -> Path:
    return folder / "checkpoints/last.ckpt"


def extract_weights(folder: Path) -> dict[str, torch.Tensor]:
    return read_checkpoint(last_of(folder))["state_dict"]


@pytest.fixture
def started(configured: Configured, tmp_path: Path) -> Iterator[Callable[..., Ranks]]:
    """Starts a training on two processes."""
    all_ranks = []

    def start(*overrides: str, folder: str = "run") -> Ranks:
        all_ranks.append(Ranks(configured(*TWO, *overrides), tmp_path / folder, settings=SAVES))
        return all_ranks[-1]

    yield start
    for ranks in all_ranks:
        for process in ranks.processes:
            process.kill()


def test_one_process_agrees_with_itself(tmp_path: Path) -> None:
    assert Peers(tmp_path).agree(3, 0) == [3, 0]


def test_a_farewell_is_read_as_it_was_written() -> None:
    assert _decode(_encode(Farewell())) == Farewell()
    said = Farewell("NonFiniteError", "step 3: the loss is nan – é")
    assert _decode(_encode(said)) == said


def test_a_killed_process_is_named_with_the_way_on(tmp_path: Path) -> None:
    peers = Peers(tmp_path)
    peers.count, peers._farewells = 2, {1: None}
    with pytest.raises(LostProcessError, match=r"process 1 of 2 .*(.*\n)*.*Nothing was saved"):
        raise peers._describe_loss()
    last_of(tmp_path).parent.mkdir()
    last_of(tmp_path).touch()
    with pytest.raises(LostProcessError, match=rf"process 1 .*(.*\n)*.*resume={tmp_path}"):
        raise peers._describe_loss()


def test_the_error_of_another_process_is_raised_as_its_own(tmp_path: Path) -> None:
    peers = Peers(tmp_path)
    peers._farewells = {1: Farewell("NonFiniteError", "step 3: the loss is nan")}
    with pytest.raises(NonFiniteError, match="step 3"):
        raise peers._describe_loss()
    peers._farewells = {1: Farewell("MemoryError", "")}
    with pytest.raises(LostProcessError, match="process 1 of 1 ended by MemoryError"):
        raise peers._describe_loss()


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
@pytest.mark.parametrize("rank", [0, 1])
def test_saves_by_the_clock_and_a_signal_to_one_process(
    started: Callable[..., Ranks], tmp_path: Path, rank: int, optimizer: str
) -> None:
    """The first save comes after 0.4 seconds of whichever clock; a signal reaches one process."""
    ranks = started(*LONG, f"optimizer={optimizer}")
    last = last_of(tmp_path / "run")
    ranks.wait_for(last.exists)
    saved_ns = last.stat().st_mtime_ns
    ranks.wait_for(lambda: last.stat().st_mtime_ns != saved_ns)
    pid = ranks.processes[rank].pid
    assert pid is not None
    os.kill(pid, signal.SIGTERM)
    assert ranks.join() == [143, 143]
    assert ranks.printed().count("everything is saved") == 1
    assert ranks.printed(1) == ""


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_other_with_one_message(
    started: Callable[..., Ranks], tmp_path: Path, rank: int
) -> None:
    ranks = started(*LONG)
    ranks.wait_for(last_of(tmp_path / "run").exists)
    ranks.processes[rank].kill()
    codes = ranks.join(within_s=120.0)  # of a busy machine; on an idle one it takes 4
    assert codes == ([-9, 1] if rank == 0 else [1, -9])
    assert ranks.printed().count(f"process {rank} of 2 was killed or crashed") == 1
    assert f"resume={tmp_path / 'run'}" in ranks.printed(1 - rank)


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_stopped_training_goes_on_to_the_same_bits(
    started: Callable[..., Ranks], configured: Configured, tmp_path: Path
) -> None:
    length = ("trainer.max_steps=400", "trainer.validate_every=150", "model.dropout=0.1")
    whole = started(*length, folder="whole")
    assert whole.join() == [0, 0], whole.printed()
    stopped = started(*length, folder="stopped")
    stopped.wait_for(last_of(tmp_path / "stopped").exists)
    stopped.processes[1].kill()
    assert stopped.join()[0] == 1
    again = Ranks(configured(*TWO, *length, f"resume={tmp_path / 'stopped'}"), tmp_path / "stopped")
    assert again.join() == [0, 0], again.printed()
    one, other = (extract_weights(tmp_path / name) for name in ("whole", "stopped"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(("rank", "printed"), [(1, 1), (2, 0)])
def test_a_process_that_waits_for_one_that_is_gone_is_ended(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    rank: int,
    printed: int,
) -> None:
    """The first was killed while the main thread waits on a device: one of the others says so."""

    def leave(code: int) -> None:
        raise SystemExit(code)

    monkeypatch.setattr("os._exit", leave)
    peers = Peers(tmp_path)
    peers.rank, peers.count, peers._farewells = rank, 3, {0: None}
    monkeypatch.setattr(Peers, "_say", lambda *_: None)
    with pytest.raises(SystemExit, match="1"):
        peers._end()
    assert capsys.readouterr().err.count("process 0 of 3 was killed") == printed


def test_processes_with_other_code_are_refused() -> None:
    refuse_differences([{"code": "a"}, {"code": "a"}])
    with pytest.raises(ConfigError, match="process 1 of 2 has another code than process 0: b, not"):
        refuse_differences([{"code": "a"}, {"code": "b"}])
