"""Where infinito finds its configuration, keeps its caches and writes its runs."""

from __future__ import annotations

import os
from pathlib import Path

from infinito.errors import ConfigError
from infinito.wording import format_path


def conf_dir() -> Path:
    """Return the folder of configuration files, of an installed package or of a checkout.

    Raises:
        ConfigError: neither is there, so the installation is incomplete.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / "config.yaml").is_file():
            return folder
    raise ConfigError(
        f"no config.yaml in {package / 'conf'} or {package.parent / 'conf'}: "
        "the installation is incomplete; reinstall with `pip install --force-reinstall infinito`"
    )


def cache_dir(configured: str | None = None) -> Path:
    """Return the folder of reusable files: `configured`, or the user's cache folder (XDG)."""
    if configured is not None:
        return Path(configured).expanduser()
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "infinito"


def describe_folder_fault(error: OSError, folder: Path | None) -> str | None:
    """Return what to do about a run folder that cannot be made or written, or None.

    Args:
        error: What the system said.
        folder: The run's folder, where it could be made; None before that.
    """
    if error.filename is None:
        return None
    place = Path(os.fsdecode(error.filename))
    if folder is not None and not place.absolute().is_relative_to(folder.absolute()):
        return None
    return (
        f"Cannot {'make' if folder is None else 'write'} {format_path(place)}: {error.strerror}. "
        "Choose another folder for runs by `runs_dir=<folder>`, or for this one by "
        "`hydra.run.dir=<folder>`."
    )
