"""Bad rows are counted by kind, and a too long row names the block size of all."""

from __future__ import annotations

import pytest

from infinito.data.conversations.rows.faults import (
    BadRow,
    RowFault,
    TooLong,
    count_kinds,
    refuse_bad_rows,
    unify_block_size,
)
from infinito.errors import DataError


def test_kinds_are_counted_in_alphabetical_order() -> None:
    bad = [BadRow(n, kind, "f", "m") for n, kind in enumerate("bab")]
    assert list(count_kinds(bad).items()) == [("a", 1), ("b", 2)]


def test_a_fault_has_no_control_characters() -> None:
    assert RowFault("k", "has \x1b[31m and \ud83d", "m").fault == "has \\x1b[31m and \\ud83d"


def test_one_block_size_for_all() -> None:
    faults = [TooLong("long", "f", 9, "answer_end"), TooLong("long", "f", 7, None)]
    rows = [BadRow.from_fault(n, fault) for n, fault in enumerate(faults)]
    other = BadRow.from_fault(2, RowFault("k", "f", "Mend it"))
    assert [each.mend for each in unify_block_size([*rows, other], 9)] == [
        "Use `data.block_size=9` or `data.truncate=answer_end`",
        "Use `data.block_size=9`",
        "Mend it",
    ]


def test_only_the_first_faults_are_shown() -> None:
    bad = [BadRow(n, "k", f"fault {n}", "m") for n in range(7)]
    with pytest.raises(DataError, match=r"7 of 9 rows[^$]*fault 4[^$]*… and 2 more") as caught:
        refuse_bad_rows(bad, "error", "x", 2)
    assert "fault 5" not in str(caught.value)
