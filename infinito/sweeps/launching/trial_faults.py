"""The ways in which a trial fails, and their descriptions in one line."""

from __future__ import annotations

from infinito.errors import ConfigError

LABEL = "INFINITO_TRIAL"
"""The job's environment variable with the label of the launch."""


class TrialTimeout(BaseException):
    """A trial ran past its limit; no `except Exception` in the trial may swallow this."""


class TrialFailed(Exception):
    """A trial that gave no score, in one line."""


class WorkerLost(Exception):
    """A job that ended with its worker process or machine, not by a fault of its own.

    Args:
        how: What was lost, in one line.
        retries: How often a search may run such a trial again.
    """

    def __init__(self, how: str, retries: int = 0) -> None:
        super().__init__(how)
        self.retries = retries


def describe_loss(fault: BaseException | None) -> str:
    """Return why a launch left no outcome, in one line."""
    if fault is None:
        return "the trial ended without an outcome"
    if isinstance(fault, WorkerLost):
        return str(fault)
    return f"the launcher failed: {type(fault).__name__}: {fault}"


def describe_fault(fault: BaseException) -> str:
    """Return what went wrong, in one line."""
    if isinstance(fault, TrialTimeout | TrialFailed):
        return str(fault)
    if isinstance(fault, SystemExit):
        return f"the trial ended its process (exit code {fault.code})"
    lines = [line.strip(" •") for line in str(fault).splitlines() if line.strip()]
    if isinstance(fault, ConfigError):
        lines = fault.faults
    return f"{type(fault).__name__}: {' '.join(lines)}"[:500]


def describe_limit(limit_s: float) -> str:
    """Return what is recorded for a trial that took too long."""
    return f"stopped after {limit_s:g} s, the limit of `hydra.sweeper.trial_timeout_s`"
