"""Processes that something else started share one run folder, or are refused with the reason."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from infinito import launcher
from infinito.config import RunConf, TrainerConf
from infinito.errors import ConfigError
from infinito.launcher import Launch, find_launch, learn, node_faults, tell_others
from tests.conftest import TINY

TORCHRUN = {"TORCHELASTIC_RUN_ID": "none", "RANK": "1", "WORLD_SIZE": "2", "LOCAL_RANK": "1"}
SRUN = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4"}


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({}, None),
        ({"LOCAL_RANK": "1", "NODE_RANK": "0", "WORLD_SIZE": "2"}, None),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "1"}, None),
        (TORCHRUN, Launch("torchrun", 1, 2)),
        (SRUN, Launch("srun", 3, 4)),
        ({"NODE_RANK": "1", "MASTER_ADDR": "a"}, Launch("NODE_RANK", 1, None)),
    ],
    ids=["a person", "a training", "a batch job", "torchrun", "srun", "a person on two nodes"],
)
def test_who_started_this_process(environment: dict[str, str], found: Launch | None) -> None:
    assert find_launch(environment) == found


@pytest.mark.parametrize(
    ("overrides", "environment", "fault"),
    [
        (("trainer.nodes=2",), {}, "nothing tells where the other nodes are"),
        (("trainer.nodes=2",), {"NODE_RANK": "0"}, "without MASTER_ADDR and MASTER_PORT"),
        ((), TORCHRUN, "torchrun started 2 processes, but `trainer.devices`=1 .* ask for 1"),
        (("trainer.devices=2",), SRUN, "srun started 4 processes.*trainer.devices=4"),
    ],
    ids=["no address", "half an address", "one process asked for", "other numbers"],
)
def test_a_launcher_that_does_not_fit_is_refused(
    configured: Callable[..., RunConf],
    overrides: tuple[str, ...],
    environment: dict[str, str],
    fault: str,
) -> None:
    conf = configured("trainer=ddp", "trainer.epochs=null", "trainer.devices=1", *overrides)
    (found,) = node_faults(conf, environment=environment)
    with pytest.raises(ConfigError, match=fault):
        raise ConfigError(found)


def test_what_fits_is_not_refused(configured: Callable[..., RunConf]) -> None:
    conf = configured("trainer=ddp", "trainer.epochs=null", "trainer.devices=2")
    assert not list(node_faults(conf, environment=TORCHRUN))
    assert not list(node_faults(conf, environment={"LOCAL_RANK": "1"}))


def test_other_tasks_and_sweeps_take_one_process(configured: Callable[..., RunConf]) -> None:
    torchrun = Launch("torchrun", 0, 2)
    (fault,) = torchrun.faults("evaluate", TrainerConf())
    assert fault.startswith("`task=evaluate` takes one process")
    assert not list(Launch("torchrun", 0, 1).faults("evaluate", TrainerConf()))
    (fault,) = node_faults(configured(), sweep=True, environment=TORCHRUN)
    assert fault.startswith("a sweep is one process")


def test_the_first_process_tells_the_others(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    tell_others(Launch("NODE_RANK", 0, None), "/shared/run")
    assert learn(Launch("NODE_RANK", 1, None)) == ("/shared/run", None)
    launcher._kept.clear()


def test_a_node_that_does_not_answer_is_named(monkeypatch: pytest.MonkeyPatch, port: int) -> None:
    from datetime import timedelta

    monkeypatch.setattr(launcher, "PATIENCE", timedelta(seconds=1))
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    monkeypatch.setenv("MASTER_PORT", str(port))
    with pytest.raises(ConfigError, match=f"cannot be reached at 127.0.0.1:{port}"):
        learn(Launch("NODE_RANK", 1, None))


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("by", ["torchrun", "NODE_RANK"])
def test_two_nodes_on_one_machine(text_file: Path, tmp_path: Path, port: int, by: str) -> None:
    """Each node starts by itself in a folder of its own; there is one run, and nothing beside."""
    overrides = [
        *TINY, f"data.path={text_file}", f"data.cache_dir={tmp_path / 'cache'}",
        f"runs_dir={tmp_path / 'runs'}", "trainer=ddp", "trainer.epochs=null",
        "trainer.max_steps=6", "trainer.validate_every=3", "trainer.accelerator=cpu",
        "trainer.threads=1", "trainer.progress_bar=false", "trainer.devices=1", "trainer.nodes=2",
    ]  # fmt: skip
    nodes = []
    for rank in range(2):
        (tmp_path / f"node{rank}").mkdir()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        command = ["-m", "infinito.run", *overrides]
        if by == "torchrun":
            place = [f"--node-rank={rank}", "--master-addr=127.0.0.1", f"--master-port={port}"]
            command = ["-m", "torch.distributed.run", "--nnodes=2", *place, *command]
        else:
            environment |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
            environment |= {"NODE_RANK": str(rank)}
        nodes.append(
            subprocess.Popen(
                [sys.executable, *command],
                cwd=tmp_path / f"node{rank}",
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    printed = [node.communicate(timeout=1500) for node in nodes]
    assert [node.returncode for node in nodes] == [0, 0], printed
    (summary,) = tmp_path.glob("runs/*/*/summary.json")
    assert json.loads(summary.read_text())["steps"] == 6
    assert len(list(tmp_path.glob("runs/*/*"))) == 1
    assert not any([*tmp_path.glob("node0/*"), *tmp_path.glob("node1/*")])
    assert "results" in printed[0][0]
    assert "results" not in printed[1][0]
