"""How long infinito waits for the hub before it gives up with a message."""

from __future__ import annotations

import os
import sys

ANSWER_S = 10.0
"""Seconds to wait for an answer about a repository."""
STALL_S = 45.0
"""Seconds without a byte after which a download is given up."""
READ_S = 5
"""Seconds to wait for the next bytes of a file; the libraries try six times, with pauses."""


def limit_patience() -> None:
    """Give the libraries' reads a limit, so that none of their retries lasts a minute.

    HF_HUB_DOWNLOAD_TIMEOUT in the environment takes precedence.
    """
    from huggingface_hub import constants

    if "HF_HUB_DOWNLOAD_TIMEOUT" not in os.environ:
        constants.HF_HUB_DOWNLOAD_TIMEOUT = READ_S
    if "datasets" in sys.modules:  # its own retries, of what has been retried already
        config = sys.modules["datasets"].config
        for name in ("STREAMING_READ_MAX_RETRIES", "STREAMING_OPEN_MAX_RETRIES"):
            setattr(config, name, 1)
        for name in (
            "STREAMING_READ_RETRY_INTERVAL",
            "STREAMING_READ_SERVER_UNAVAILABLE_RETRY_INTERVAL",
            "STREAMING_READ_RATE_LIMIT_RETRY_INTERVAL",
            "STREAMING_OPEN_RETRY_INTERVAL",
        ):
            setattr(config, name, 0)
