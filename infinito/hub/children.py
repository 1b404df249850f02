"""Processes that speak with the hub for this one: they can be ended, whatever they wait for."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Any


def begin(module: str, order: Any, **environment: str) -> subprocess.Popen[str]:
    """Start `python -m <module> <order as JSON>`, with this process's settings of the hub.

    Args:
        module: It prints a line of JSON at its end (see `read_answer`).
        order: What it is to do, of plain values.
        environment: Variables of it alone.
    """
    from huggingface_hub import constants

    variables = {
        **os.environ,
        "HF_ENDPOINT": constants.ENDPOINT,
        "HF_HUB_CACHE": str(constants.HF_HUB_CACHE),
        **environment,
    }
    if not sys.stderr.isatty():
        variables["HF_HUB_DISABLE_PROGRESS_BARS"] = "1"
    return subprocess.Popen(
        [sys.executable, "-m", module, json.dumps(order)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=variables,
        text=True,
    )


def read_answer(process: subprocess.Popen[str], output: str) -> Mapping[str, str] | None:
    """Return what an ended process answers; None where it ended without an answer."""
    lines = output.splitlines()
    if process.returncode != 0 or not lines:
        return None
    answer: Mapping[str, str] = json.loads(lines[-1])
    return answer


def leave_the_keyboard() -> None:
    """Ignore Ctrl+C in such a process: its parent is stopped by it, and ends it."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
