"""The errors that infinito raises on purpose: what was received, what was expected, what mends it.

Nothing here imports anything, so every module may raise these. `infinito.run` prints the message
without a traceback (the traceback goes to the run's log) and exits with `exit_code`.
"""

from __future__ import annotations

from collections.abc import Sequence

SIGNALLED = 128
"""Exit codes above this name the signal that stopped a run, and so its sweep."""


class InfinitoError(Exception):
    """A fault that the user can mend; the message is complete without its traceback."""

    exit_code = 1
    heading = "error"
    """The word before the message on the screen."""


class ConfigError(InfinitoError):
    """One or more faults of a configuration, reported together."""

    exit_code = 2

    def __init__(self, faults: str | Sequence[str]) -> None:
        self.faults = [faults] if isinstance(faults, str) else list(faults)
        count = len(self.faults)
        heading = (
            "1 fault in the configuration" if count == 1 else f"{count} faults in the configuration"
        )
        super().__init__("\n".join([f"{heading}:", *(f"  • {fault}" for fault in self.faults)]))


class DataError(InfinitoError):
    """Text, tokens or a tokenizer that cannot be used."""


class CheckpointError(InfinitoError):
    """A checkpoint that is missing, damaged, foreign, unsafe or of another shape."""


class DeviceError(InfinitoError):
    """A device or precision that this machine does not have."""


class HubError(InfinitoError):
    """A hub name that could not be reached; the message names the local-path override."""


class MissingExtraError(InfinitoError):
    """A package of an extra that is needed and not installed; the message names the extra."""


class LoggerError(InfinitoError):
    """A dashboard that does not open; the message names the override that does without it."""


class ResumeError(InfinitoError):
    """A run that cannot be resumed with this command."""


class NonFiniteError(InfinitoError):
    """A loss or gradient that is NaN or infinite; training stopped before the step was taken."""


class SaveError(InfinitoError):
    """A file that could not be written; what was saved before is untouched."""


class LostProcessError(InfinitoError):
    """A process of a training ended without saying why."""


class ReportedElsewhere(InfinitoError):
    """An end that another process of the training prints; this one ends with the same code."""

    def __init__(self, exit_code: int) -> None:
        self.exit_code = exit_code
        super().__init__()


class SweepError(InfinitoError):
    """A sweep that stopped because too many of its trials failed."""
