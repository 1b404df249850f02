"""`task=doctor`: versions, devices, disk and a write test: a block to paste into a bug report."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

import infinito
from infinito.config import RunConf
from infinito.paths import cache_dir, conf_dir
from infinito.run_folder.records import PACKAGES, git_commit
from infinito.run_folder.tables import print_table

OPTIONAL = (
    "peft",
    "trl",
    "stable-baselines3",
    "datasets",
    "optuna",
    "hydra-joblib-launcher",
    "ray",
)


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Print what this machine and installation are."""
    console = Console(highlight=False, soft_wrap=True)
    print_table(console, "infinito", _installation())
    print_table(console, "\npackages", _versions())
    print_table(console, "\nmachine", _machine())
    print_table(console, "\nfolders", _folders(conf))


def _installation() -> dict[str, Any]:
    return {
        "infinito": infinito.__version__,
        "commit": git_commit(),
        "python": f"{platform.python_version()} ({sys.executable})",
        "configuration": str(conf_dir()),
    }


def _versions() -> dict[str, Any]:
    versions: dict[str, Any] = {name: metadata.version(name) for name in PACKAGES}
    for name in OPTIONAL:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _machine() -> dict[str, Any]:
    devices = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    return {
        "system": platform.platform(),
        "processors": os.cpu_count(),
        "torch threads": torch.get_num_threads(),
        "vector units": torch.backends.cpu.get_cpu_capability(),
        "cuda": ", ".join(devices) or "no device",
        "mps": "available" if torch.backends.mps.is_available() else "no device",
    }


def _folders(conf: RunConf) -> dict[str, Any]:
    return {
        "runs": _writable(Path(conf.runs_dir)),
        "cache": _writable(cache_dir(conf.data.cache_dir)),
    }


def _writable(folder: Path) -> str:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    try:
        with tempfile.NamedTemporaryFile(dir=place) as file:
            file.write(b"infinito")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        return f"{folder} cannot be written: {error.strerror}"
    free_gib = shutil.disk_usage(place).free / 2**30
    return f"{folder} can be written, {free_gib:,.1f} GiB free"
