"""`task=report`: makes the page of a run anew, whatever kind of run it is, finished or not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from infinito.config import RunConf
from infinito.errors import CheckpointError
from infinito.pages.run_page import write_run_page
from infinito.process import use_threads
from infinito.run_folder.folder import find_run_folder
from infinito.run_folder.schedules import is_schedule


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Write report.html into the run's folder; of a schedule, play its checkpoints as well.

    Raises:
        CheckpointError: `checkpoint` lies in no run's folder, or the run's results are damaged.
        ConfigError: runs of its kind have no page.
    """
    source = find_run_folder(Path(str(conf.checkpoint)))
    if source is None:
        raise CheckpointError(
            f"`checkpoint`={conf.checkpoint} is no run folder, and lies in none: expected a folder "
            "with a config.yaml, e.g. `checkpoint=multirun/base_30ep/<run>`. "
            "For a sweep, use `task=search_report runs=[<sweep folder>]`"
        )
    console = Console(soft_wrap=True, highlight=False)
    with console.status("writing the page"):
        page = write_run_page(source)
    console.print(f"written: {page}", markup=False)
    if is_schedule(conf.checkpoint):
        from infinito.rl.evaluation import checkpoint_report  # it needs an extra

        if conf.trainer.threads is not None:  # the page alone computes nothing
            use_threads(conf.trainer.threads)
        checkpoint_report.run(conf, folder, overrides)
