"""Sends a finished model to the hub, after the place for it was made before the training.

Both happen in a process of its own (`infinito.hub.push_child`), which waits for the hub no longer
than a download does.
"""

from __future__ import annotations

import shlex
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rich.console import Console

from infinito.config import RunConf
from infinito.errors import HubError
from infinito.hub import patience
from infinito.hub.children import begin, read_answer


def claim_repository(conf: RunConf) -> None:
    """Make the repository of `push`, unless it is there, and check that files can be sent to it.

    Raises:
        HubError: They cannot.
    """
    if conf.push is None:
        return
    answer = _ask(conf, None)
    if "fault" in answer:
        raise HubError(f"Cannot push to {conf.push}: {answer['fault']}, or leave out `push`.")


def push_model(conf: RunConf, run: Path, console: Console) -> None:
    """Send a finished run's model to the repository of `push`, with its card and its report.

    The card names the repository from then on, and the report lies beside it.

    Args:
        conf: The configuration of the run.
        run: Its folder, which holds `model/`.
        console: Where to say where the model is.

    Raises:
        HubError: It did not arrive; says how to send it again.
    """
    if conf.push is None:
        return
    folder = run / "model"
    card = folder / "README.md"
    text = card.read_text(encoding="utf-8").replace("<this folder>", conf.push)
    card.write_text(text, encoding="utf-8")
    if (run / "report.html").is_file():
        shutil.copyfile(run / "report.html", folder / "report.html")
    console.print(f"\nsending the model to {conf.push} …", highlight=False, soft_wrap=True)
    try:
        answer = _ask(conf, folder)
    except KeyboardInterrupt:
        answer = {"fault": "Ctrl+C stopped it"}
    if "fault" in answer:
        privacy = " --private" * conf.push_private
        raise HubError(
            f"The run is complete in {run}, but its model was not pushed to {conf.push}: "
            f"{answer['fault']}. This sends the same folder again:\n"
            f"  hf upload {conf.push} {shlex.quote(str(folder))} .{privacy}"
        )
    console.print(f"[bold]pushed[/]  {answer['address']}", highlight=False, soft_wrap=True)


def _ask(conf: RunConf, folder: Path | None) -> Mapping[str, str]:
    """Return what the child process answers: an address, or a fault."""
    return _run(
        {
            "name": conf.push,
            "private": conf.push_private,
            "folder": None if folder is None else str(folder),
            "patience_s": patience.STALL_S,
        }
    )


def _run(order: Mapping[str, Any]) -> Mapping[str, str]:
    # Files go by Git LFS's protocol: the other one, Xet's, has retries of its own without an end.
    with begin("infinito.hub.push_child", order, HF_HUB_DISABLE_XET="1") as process:
        try:
            output, _ = process.communicate()
        finally:
            process.kill()
    ended = f"the process that sends it ended with code {process.returncode}. Try again"
    return read_answer(process, output) or {"fault": ended}
