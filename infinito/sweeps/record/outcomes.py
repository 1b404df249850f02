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

from infinito.search.space.parameters import is_number
from infinito.storage import written_whole

FOLDER = "outcomes"
"""In a sweep's folder."""


@dataclass(frozen=True)
class Outcome:
    """What came of one launch of a trial: scores or an error."""

    values: list[float] | None = None
    error: str | None = None
    seconds: float | None = None
    """How long it took."""


def write_outcome(sweep: Path, label: str, outcome: Outcome) -> None:
    """Leave an outcome in a sweep's folder.

    Raises:
        SaveError: The file could not be written.
    """
    target = sweep / FOLDER / f"{label}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(target) as file:
        file.write(json.dumps(asdict(outcome), ensure_ascii=False).encode())


def read_outcome(sweep: Path, label: str, objectives: int) -> Outcome | None:
    """Return the outcome of a launch, or None where it left none that can be read.

    A damaged file counts as none: the trial is run again, which loses time and no result.
    """
    try:
        fields = json.loads((sweep / FOLDER / f"{label}.json").read_bytes())
    except (OSError, ValueError):
        return None
    return Outcome(**fields) if _is_outcome(fields, objectives) else None


def _is_outcome(fields: Any, objectives: int) -> bool:
    if not isinstance(fields, dict) or set(fields) != {"values", "error", "seconds"}:
        return False
    values, error, seconds = fields["values"], fields["error"], fields["seconds"]
    has_values = (
        isinstance(values, list)
        and len(values) == objectives
        and all(is_number(value) and math.isfinite(value) for value in values)
    )
    return (
        has_values != isinstance(error, str)  # one of both
        and (has_values or values is None)
        and (seconds is None or is_number(seconds))
    )


def read_scores(returned: Any, objectives: int) -> list[float]:
    """Return what a task returned as one finite number for each objective.

    Raises:
        ValueError: It is missing, no number, not finite or of another length.
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
