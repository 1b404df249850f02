"""How a trial fails."""

from __future__ import annotations

from infinito.errors import ConfigError

LABEL = "INFINITO_TRIAL"
"""The job's environment variable that names the launch."""


class TrialTimeout(BaseException):
    """A trial ran past its limit; no `except Exception` of the trial's own may swallow this."""


class TrialFailed(Exception):
    """A trial that gave no score, in one line."""


def describe_fault(fault: BaseException) -> str:
    """What went wrong, in one line."""
    if isinstance(fault, TrialTimeout | TrialFailed):
        return str(fault)
    if isinstance(fault, SystemExit):
        return f"the trial ended its process (exit code {fault.code})"
    lines = [line.strip(" •") for line in str(fault).splitlines() if line.strip()]
    if isinstance(fault, ConfigError):
        lines = fault.faults
    return f"{type(fault).__name__}: {' '.join(lines)}"[:500]


def describe_limit(limit_s: float) -> str:
    """What is recorded of a trial that took too long."""
    return f"stopped after {limit_s:g} s, the limit of `hydra.sweeper.trial_timeout_s`"
