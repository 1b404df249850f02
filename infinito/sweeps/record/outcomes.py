"""How a trial ended, written where it ran and read by the sweep.

A trial may run in another process or on another machine, and may outlive a sweep that was killed;
so it leaves its outcome in a file, from which a resumed sweep takes it over.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from infinito.storage import written_whole

FOLDER = "outcomes"
"""Of a sweep's folder."""


@dataclass(frozen=True)
class Outcome:
    """What came of one launch of a trial: scores or an error."""

    values: list[float] | None = None
    error: str | None = None
    seconds: float | None = None
    """How long it took."""


def write_outcome(sweep: Path, label: str, outcome: Outcome) -> None:
    """Leaves an outcome in a sweep's folder.

    Raises:
        SaveError: the file could not be written.
    """
    target = sweep / FOLDER / f"{label}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(target) as file:
        file.write(json.dumps(asdict(outcome), ensure_ascii=False).encode())


def read_outcome(sweep: Path, label: str) -> Outcome | None:
    """The outcome of a launch, or None where it left none."""
    try:
        return Outcome(**json.loads((sweep / FOLDER / f"{label}.json").read_bytes()))
    except FileNotFoundError:
        return None


def scores(returned: Any, objectives: int) -> list[float]:
    """What a task returned, as one finite number for each objective.

    Raises:
        ValueError: it is missing, no number, not finite or of another length.
    """
    expected = "a number" if objectives == 1 else f"a list of {objectives} numbers"
    if returned is None:
        raise ValueError(f"the trial returned no score; expected {expected}")
    single = isinstance(returned, str) or not isinstance(returned, Sequence)
    values = [returned] if single else list(returned)
    if len(values) != objectives or (objectives > 1 and single):
        raise ValueError(f"the trial returned {returned!r}; expected {expected}")
    try:
        numbers = [float(value) for value in values]
    except (TypeError, ValueError):
        raise ValueError(f"the trial returned {returned!r}; expected {expected}") from None
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"the score is {numbers[0] if single else numbers}, which is not finite")
    return numbers
