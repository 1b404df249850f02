"""A stop is said in the words of who asked for it."""

from __future__ import annotations

import signal

import pytest

from infinito.run import _reported
from infinito.training.callbacks.interruption import SIGNALS, Interrupted, describe_signal


def test_every_signal_has_its_words() -> None:
    assert [describe_signal(number) for number in SIGNALS] == [
        "by Ctrl+C",
        "by a request to end (SIGTERM)",
        "by a closed terminal (SIGHUP)",
    ]


def test_a_stop_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert _reported(Interrupted(signal.SIGINT, "by Ctrl+C after step 3")) == 130
    assert capsys.readouterr().err == "stopped: by Ctrl+C after step 3\n"
