"""The tiny schedule of tests/rl, for the task that learns it."""

from __future__ import annotations

from tests.rl.conftest import rl_configured, shared

__all__ = ["rl_configured", "shared"]
