"""`task=reproducibility`: one seed in two fresh processes, another in a third; do the bits agree?

The claim is that equal seeds give equal bits and another seed does not. It is checked bit by bit:
statistics on identical numbers would prove nothing.
"""

from __future__ import annotations

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from omegaconf import OmegaConf
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from infinito.config import LoggerConf, RunConf
from infinito.errors import InfinitoError
from infinito.models.checkpoint_file import read_checkpoint
from infinito.models.trained import extract_weights
from infinito.pages.run_page import write_page_or_warn
from infinito.run_folder.folder import events_folder, record_config
from infinito.run_folder.records import write_json
from infinito.run_folder.tables import print_table
from infinito.yaml_limits import load_yaml


class NotReproducible(InfinitoError):
    """Equal seeds differed, or different seeds did not."""

    exit_code = 3


@dataclass(frozen=True)
class Trace:
    """What a training left: hashes of its final weights and of its logged losses."""

    seed: int
    weights_sha256: str
    losses_sha256: str
    losses: int


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Trains three times and writes reproducibility.json.

    Raises:
        NotReproducible: the claim does not hold.
    """
    console = Console()
    record_config(folder, asdict(conf), overrides)
    traces = []
    for name, seed in (("first", conf.seed), ("second", conf.seed), ("other", conf.seed + 1)):
        with console.status(f"training with seed {seed} in a fresh process ({name})"):
            traces.append(_trained(conf, folder / name, seed))
    first, second, other = traces
    report = {
        "same seed, equal weights": first.weights_sha256 == second.weights_sha256,
        "same seed, equal losses": first.losses_sha256 == second.losses_sha256,
        "other seed, other weights": first.weights_sha256 != other.weights_sha256,
        "other seed, other losses": first.losses_sha256 != other.losses_sha256,
    }
    write_json(folder / "reproducibility.json", {**report, "runs": [asdict(t) for t in traces]})
    write_page_or_warn(folder)
    rows = {
        f"seed {trace.seed}": f"weights {trace.weights_sha256[:16]}  "
        f"{trace.losses} losses {trace.losses_sha256[:16]}"
        for trace in (first, other)
    }
    rows[f"seed {second.seed} again"] = (
        f"weights {second.weights_sha256[:16]}  {second.losses} losses {second.losses_sha256[:16]}"
    )
    print_table(console, "SHA-256", dict(sorted(rows.items())))
    print_table(console, "\nreproducibility", report)
    if not all(report.values()):
        failed = "; ".join(claim for claim, holds in report.items() if not holds)
        raise NotReproducible(f"this does not hold: {failed}. See {folder}/reproducibility.json")


def _trained(conf: RunConf, folder: Path, seed: int) -> Trace:
    """The trace of a training in a process of its own."""
    values = asdict(conf) | {"task": "train", "seed": seed, "logger": asdict(LoggerConf())}
    folder.mkdir()
    path = folder / "request.yaml"
    path.write_text(OmegaConf.to_yaml(OmegaConf.create(values)), encoding="utf-8")
    code = "import sys; from infinito.tasks.reproducibility import train_request; "
    command = [sys.executable, "-c", code + "train_request(sys.argv[1])", str(folder)]
    finished = subprocess.run(command, capture_output=True, text=True)
    if finished.returncode:
        raise NotReproducible(f"a training failed:\n{finished.stderr.strip()[-2000:]}")
    return read_trace(folder, seed)


def train_request(folder: str) -> None:
    """Train as `request.yaml` in the folder says; the entry of the fresh process."""
    from infinito.cli.typed_values import parse
    from infinito.process import use_threads
    from infinito.tasks import train

    values = OmegaConf.to_container(load_yaml(Path(folder) / "request.yaml"))
    conf = parse(values)  # type: ignore[arg-type]
    if conf.trainer.threads is not None:
        use_threads(conf.trainer.threads)
    train.run(conf, Path(folder), [])


def read_trace(folder: Path, seed: int) -> Trace:
    """Return the hashes of a finished run: of its final weights and of every logged loss."""
    weights = extract_weights(read_checkpoint(folder / "checkpoints/last.ckpt"))
    digest = hashlib.sha256()
    for name, value in sorted(weights.items()):
        digest.update(name.encode())
        digest.update(value.contiguous().view(torch.uint8).numpy().tobytes())
    events = EventAccumulator(str(events_folder(folder))).Reload()
    losses = [
        (tag, event.step, event.value)
        for tag in ("train/loss", "val/loss")
        for event in events.Scalars(tag)
    ]
    losses_digest = hashlib.sha256(repr(losses).encode()).hexdigest()
    return Trace(seed, digest.hexdigest(), losses_digest, len(losses))
