"""Two-process training, saved every few seconds, killed and signalled at random, and resumed.

    python experiments/ddp_soak/soak.py --text <a text> --steps 1500 --pace 0.1

A training that is left alone is compared with one whose random process is killed, or gets SIGTERM,
at random moments. Each disturbance must end both processes in time, with one message; the weights
and the optimizer's state at the end must have equal bits.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SAVE_EVERY_S = 5.0
JOB = "SOAK_JOB"
"""Set in the processes of a training, which this file starts as well: its `--pace`."""
LIMIT_S = {signal.SIGKILL: 10.0, signal.SIGTERM: 30.0}


def arguments(text: Path, steps: int, optimizer: str) -> list[str]:
    """Return the command of the training."""
    return [
        "data=text", f"data.path={text}", "tokenizer=char", "data.block_size=64",
        "data.batch_size=4", "model.dim=64", "model.layers=2", "model.dropout=0.1",
        "attention=dot", "attention.heads=2", f"optimizer={optimizer}", "trainer=ddp",
        "trainer.devices=2", "trainer.accelerator=cpu", "trainer.threads=1",
        "trainer.epochs=null", f"trainer.max_steps={steps}",
        f"trainer.validate_every={max(1, steps // 10)}", "trainer.validation_batches=20",
        "trainer.progress_bar=false", "trainer.sample_tokens=8",
    ]  # fmt: skip


def start(folder: Path, pace_s: float, *words: str) -> subprocess.Popen[str]:
    """Start a training in both processes."""
    return subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), *words],
        cwd=folder,
        env={**os.environ, JOB: str(pace_s), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def processes_of(first: int) -> list[int]:
    """Return the process ids of both ranks; fewer while the second has not been started."""
    children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
    return [first, *map(int, children)]


def is_alive(process: int) -> bool:
    """Return whether a process runs, zombies not counted."""
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def disturb(training: subprocess.Popen[str], number: signal.Signals, rank: int) -> str:
    """Send a signal to a rank; return what came of it."""
    ranks = processes_of(training.pid)
    os.kill(ranks[rank], number)
    began_s = time.monotonic()
    while any(is_alive(each) for each in ranks) and time.monotonic() - began_s < 120:
        training.poll()
        time.sleep(0.05)
    took_s = time.monotonic() - began_s
    hung = any(is_alive(each) for each in ranks)
    if hung:
        os.killpg(training.pid, signal.SIGKILL)
    errors = training.communicate()[1]
    lines = [line for line in errors.splitlines() if line.startswith(("error:", "stopped:"))]
    fine = not hung and took_s < LIMIT_S[number] and len(lines) == 1
    return f"{number.name} to rank {rank},{took_s:.1f},{len(lines)},{'ok' if fine else errors}"


def state_of(folder: Path) -> dict[str, Any]:
    """Return weights and optimizer of the end."""
    from infinito.models.checkpoint_file import read_checkpoint

    found = read_checkpoint(folder / "checkpoints/last.ckpt")
    return {"weights": found["state_dict"], "optimizer": found["optimizer_states"]}


def are_equal(one: Any, other: Any) -> bool:
    """Return whether nested values have equal bits."""
    import torch

    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(are_equal(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(are_equal, one, other))
    return bool(one == other)


def soak(given: argparse.Namespace, folder: Path) -> bool:
    """Run both trainings; return whether everything was as it should be."""
    command = arguments(given.text.resolve(), given.steps, given.optimizer)
    command += [f"data.cache_dir={folder / 'cache'}"]
    began_s = time.monotonic()
    training = start(folder, given.pace, *command, f"hydra.run.dir={folder / 'whole'}")
    try:
        assert training.wait() == 0, training.stderr
        print(f"undisturbed,{time.monotonic() - began_s:.0f} s", flush=True)
        draws = random.Random(given.seed)
        events = [signal.SIGKILL] * given.kills + [signal.SIGTERM] * given.signals
        draws.shuffle(events)
        came, fine = 0, True
        training = start(folder, given.pace, *command, f"hydra.run.dir={folder / 'disturbed'}")
        for number in events:
            if time.monotonic() - began_s > 60 * given.minutes:
                break
            if not wait_for_save(training, folder / "disturbed/checkpoints/last.ckpt", draws):
                break
            row = disturb(training, number, draws.randrange(2))
            came, fine = came + 1, fine and row.endswith(",ok")
            print(row, flush=True)
            training = start(folder, given.pace, f"resume={folder / 'disturbed'}")
        assert training.wait() == 0, training.stderr
    finally:
        if training.poll() is None:
            os.killpg(training.pid, signal.SIGKILL)
    equal = are_equal(state_of(folder / "whole"), state_of(folder / "disturbed"))
    print(f"disturbances,{came} of {len(events)} (for more: --steps, --minutes)")
    print(f"all ended in time with one message,{fine}", f"equal bits,{equal}", sep="\n")
    print(f"in all,{time.monotonic() - began_s:.0f} s", flush=True)
    return fine and equal and came == len(events)


def wait_for_save(training: subprocess.Popen[str], last: Path, draws: random.Random) -> bool:
    """Wait for the next save and a random time after it; return whether the training still runs."""
    before = last.stat().st_mtime_ns if last.exists() else 0
    while training.poll() is None and (not last.exists() or last.stat().st_mtime_ns == before):
        time.sleep(0.05)
    time.sleep(draws.uniform(0, 2 * SAVE_EVERY_S))
    return training.poll() is None


def train(pace_s: float) -> None:
    """Be a process of a training that saves often and sleeps at each step."""
    from infinito.run import main as run
    from infinito.training.callbacks import milestones

    def pause(*_: Any) -> None:
        time.sleep(pace_s)

    milestones.SAVE_EVERY_S = SAVE_EVERY_S
    milestones.Milestones.on_train_batch_start = pause  # type: ignore[method-assign, assignment]
    run()


def main() -> None:
    """Soak, or be a process of a training."""
    if JOB in os.environ:
        train(float(os.environ[JOB]))
        return
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--text", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=20000)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--signals", type=int, default=10)
    parser.add_argument("--minutes", type=float, default=1e9, help="disturb no longer than this")
    parser.add_argument("--optimizer", default="adamw")
    parser.add_argument("--pace", type=float, default=0.0, help="seconds to sleep at each step")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        raise SystemExit(0 if soak(given, Path(folder)) else 1)


if __name__ == "__main__":
    main()
