"""Where infinito finds its configuration, keeps its caches and writes its runs."""

from __future__ import annotations

import os
from pathlib import Path

from infinito.errors import ConfigError


def conf_dir() -> Path:
    """The folder of configuration files: inside an installed package, or at the root of a checkout.

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
    """The folder of reusable files: `configured`, else the user's cache folder (XDG)."""
    if configured is not None:
        return Path(configured).expanduser()
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(root).expanduser() / "infinito"
