"""The tiny schedule of tests/rl, for the task that learns it."""

from __future__ import annotations

from tests.rl.conftest import ground, rl_configured

__all__ = ["ground", "rl_configured"]
