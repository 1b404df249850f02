"""A Hydra application of a few milliseconds, some of whose trials crash, hang or lie."""

from __future__ import annotations

import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import hydra
import numpy as np
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

from infinito.errors import InfinitoError

DEFAULTS = [
    "_self_",
    {"override hydra/job_logging": "none"},
    {"override hydra/hydra_logging": "none"},
    {"override hydra/sweeper": "mcts"},
]
CONFIG = {
    "defaults": DEFAULTS,
    "x": 0.5,
    "lr": 0.01,
    "n": 4,
    "kind": "good",
    "deep": {"width": 8, "heads": 2},
    "seconds": 0.0,
    "crash": [],
    "nan": [],
    "hang": [],
    "deaf": [],
    "die": [],
    "signalled": [],
    "interrupted": [],
    "returns": "score",
    "claim": False,
    "task": "trial",
    "seed": 7,
    "noise": 0.0,
    "trainer": {
        "max_steps": 90,
        "epochs": None,
        "pause_at": None,
        "paused_in": None,
        "stop_bad": None,
        "patience": None,
    },
    "optimizer": {"schedule": "cosine"},
    "hydra": {"output_subdir": None},
}
ConfigStore.instance().store(name="tiny", node=CONFIG)


@hydra.main(config_path=str(Path(__file__).parent), config_name="tiny", version_base="1.3")
def main(config: DictConfig) -> Any:
    """A bowl with its minimum at x=0.7, lr=0.003, n=6, kind=good."""
    number = int(os.environ["INFINITO_TRIAL"].split(".")[0])
    print("a trial's own output")
    if config.claim:  # as a run of infinito does with its folder
        (Path(HydraConfig.get().runtime.output_dir) / "config.yaml").touch(exist_ok=False)
    if config.returns == "whole" and not isinstance(config.n, int):
        raise TypeError("n is no whole number")
    if number in config.crash:
        raise RuntimeError("boom")
    if number in config.signalled:
        error = InfinitoError("stopped by signal 2 after saving")
        error.exit_code = 130
        raise error
    if number in config.interrupted:  # as Lightning answers Ctrl+C
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            sys.exit(1)
    if number in config.die:
        os.kill(os.getpid(), 9)
    if number in config.deaf:  # like compiled code that never comes back to Python
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGALRM})
        time.sleep(600)
    if number in config.hang:
        time.sleep(600)
    time.sleep(config.seconds)
    score: Any = (config.x - 0.7) ** 2 + abs(config.lr - 0.003) + 0.1 * abs(config.n - 6)
    score += 1.0 * (config.kind == "bad")
    score += config.noise * np.random.default_rng([config.seed, number]).standard_normal()
    score += 0.1 / take_steps(config, number)
    if number in config.nan:
        score = float("nan")
    done = Path(HydraConfig.get().sweep.dir) / "done"
    with done.open("a") as file:
        file.write(f"{number}\n")
    returned = {
        "score": score,
        "whole": score,
        "none": None,
        "text": "good",
        "two": [score, config.n],
    }
    return returned[config.returns]


def take_steps(config: DictConfig, number: int) -> float:
    """Train from where the trial paused to where it pauses; return the share that is done."""
    whole = config.trainer.max_steps
    end = round((config.trainer.pause_at or 1.0) * whole)
    if config.trainer.paused_in is None:
        return 1.0
    state = Path(config.trainer.paused_in) / "steps"
    start = int(state.read_text()) if state.exists() else 0
    with (Path(HydraConfig.get().sweep.dir) / "steps").open("a") as file:
        file.write(f"{number} {start} {end}\n")
    if end < whole:
        state.parent.mkdir(parents=True, exist_ok=True)
        state.with_name("partial").write_text(f"{end}")
        state.with_name("partial").replace(state)
    return float(end / whole)


if __name__ == "__main__":
    sys.argv[1:1] = ["-m"]
    main()
