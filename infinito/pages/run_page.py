"""Makes the page of a run from the files in its folder, whatever kind of run it is."""

from __future__ import annotations

import importlib
import logging
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path

from infinito.errors import CheckpointError, ConfigError
from infinito.pages.document import Page
from infinito.pages.kinds.run_files import RunFiles, read_run
from infinito.pages.rendering import write_page

log = logging.getLogger(__name__)

FILE = "report.html"

KINDS: Mapping[str, str] = {
    "train": "language",
    "trial": "language",
    "dpo": "preferences",
    "rl_scheduler": "schedule",
    "report": "schedule",
    "evaluate": "measurements",
    "lm_eval": "measurements",
    "analyze": "measurements",
    "score_pairs": "measurements",
    "calibrate_phi": "measurements",
    "reproducibility": "measurements",
}
"""The module of `kinds` that makes the page, by the task of the run."""


def write_run_page(folder: Path, *, drawings: bool = True) -> Path:
    """Write report.html into the folder of a run, which may still go on.

    Args:
        folder: The run's.
        drawings: See `rendering.write_page`.

    Returns:
        The file.

    Raises:
        CheckpointError: it is no run's folder.
        ConfigError: runs of its kind have no page.
        SaveError: the file could not be written.
    """
    run = read_run(folder)
    write_page(folder / FILE, build_run_page(run), drawings=drawings)
    return folder / FILE


def write_page_or_warn(folder: Path, *, drawings: bool = True) -> Path | None:
    """Write the page of a run; what goes wrong is a warning, as the run's results are elsewhere.

    The page of the run whose folder this one lies in, if it has one, is made anew: it names what
    was measured later.
    """
    try:
        page = write_run_page(folder, drawings=drawings)
        if (folder.parent / FILE).is_file() and (folder.parent / "config.yaml").is_file():
            write_run_page(folder.parent)
    except Exception as error:
        log.warning("%s was not written: %s: %s", folder / FILE, type(error).__name__, error)
        return None
    return page


def build_run_page(run: RunFiles) -> Page:
    """Return the page of a run.

    Raises:
        CheckpointError: a file of the run does not hold what such a run writes.
        ConfigError: runs of its kind have no page.
    """
    kind = KINDS.get(run.task)
    if kind is None:
        raise ConfigError(
            f"{run.folder} is a run of `task={run.task}`, which has no page. "
            f"Runs of {', '.join(f'`task={task}`' for task in KINDS)} have one"
        )
    module = importlib.import_module(f"infinito.pages.kinds.{kind}")
    try:
        page: Page = module.build_page(run)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CheckpointError(
            f"{run.folder}: its results are not those of `task={run.task}` "
            f"({type(error).__name__}: {error})"
        ) from error
    return replace(page, status=describe_status(run))


def describe_status(run: RunFiles) -> str:
    """Return when the page was written, and whether the run has ended."""
    when = f"Written {datetime.now().astimezone():%Y-%m-%d %H:%M:%S %Z} from {run.folder}."
    if run.results:
        return when
    return f"{when} The run had not ended: open the page again after its next validation."
