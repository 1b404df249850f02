"""The tiny schedule of tests/rl, for the jobs that read one."""

from __future__ import annotations

from ..rl.conftest import rl_configured

__all__ = ["rl_configured"]
