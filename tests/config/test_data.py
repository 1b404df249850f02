"""Limits of the `data` group."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infinito.config import RunConf
from infinito.errors import ConfigError


def test_hundreds_of_loader_processes_are_refused(configured: Callable[..., RunConf]) -> None:
    with pytest.raises(ConfigError, match=r"`data\.workers`=999 .*at least 0 and at most 64"):
        configured("data.workers=999")
