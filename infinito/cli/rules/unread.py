"""Settings that a task does not read."""

from __future__ import annotations

from collections.abc import Iterable

from infinito.config import RunConf


def refuse_unread(conf: RunConf, *settings: tuple[str, bool, str]) -> Iterable[str]:
    """A fault for each setting of the trainer, whether it was made, and its mend."""
    for key, is_set, mend in settings:
        if is_set:
            yield f"`trainer.{key}` is not for `task={conf.task}`. Use `trainer.{mend}`"
