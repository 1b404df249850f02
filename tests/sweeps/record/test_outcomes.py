"""What counts as a score, and what a trial leaves behind."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from infinito.sweeps.record.outcomes import Outcome, read_outcome, read_scores, write_outcome


@pytest.mark.parametrize("returned", [2, 2.0, np.float32(2), "2", [2]])
def test_what_is_a_number_is_a_score(returned: Any) -> None:
    assert read_scores(returned, 1) == [2.0]


def test_several_scores() -> None:
    assert read_scores((1, 2.5), 2) == [1.0, 2.5]


@pytest.mark.parametrize(
    ("returned", "objectives", "message"),
    [
        (None, 1, "returned no score; expected a number"),
        ("much", 1, "returned 'much'; expected a number"),
        ([1, 2], 1, r"returned \[1, 2\]; expected a number"),
        (1.0, 2, "returned 1.0; expected a list of 2 numbers"),
        ([1.0], 2, "expected a list of 2 numbers"),
        ([1.0, "x"], 2, "expected a list of 2 numbers"),
        ({"loss": 1}, 1, "expected a number"),
        (math.nan, 1, "the score is nan, which is not finite"),
        ([1.0, math.inf], 2, r"the score is \[1.0, inf\], which is not finite"),
    ],
)
def test_what_is_no_score(returned: Any, objectives: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_scores(returned, objectives)


def test_outcomes_are_read_back_and_missing_ones_are_none(tmp_path: Path) -> None:
    for outcome in (Outcome([0.1 + 0.2, -1e-300], None, 3.5), Outcome(None, "boom")):
        write_outcome(tmp_path, "7.2", outcome)
        assert read_outcome(tmp_path, "7.2", 2) == outcome
    assert read_outcome(tmp_path, "7", 2) is None


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"values": [1.0], "err',
        b"[1.0]",
        b'{"values": [1.0]}',
        b'{"values": ["x"], "error": null, "seconds": 1.0}',
        b'{"values": [NaN], "error": null, "seconds": 1.0}',
        b'{"values": [1.0, 2.0], "error": null, "seconds": 1.0}',
        b'{"values": null, "error": null, "seconds": 1.0}',
        b'{"values": [1.0], "error": "boom", "seconds": 1.0}',
        b'{"values": [1.0], "error": null, "seconds": "long"}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_outcome_counts_as_none(tmp_path: Path, content: bytes) -> None:
    write_outcome(tmp_path, "3", Outcome([1.0]))
    (tmp_path / "outcomes/3.json").write_bytes(content)
    assert read_outcome(tmp_path, "3", 1) is None
