"""Tables of trials are read back, and faults of tables are named."""

from __future__ import annotations

from pathlib import Path

import pytest

from infinito.errors import ConfigError
from infinito.search.search import Search
from infinito.search.space.space import Categorical, Float, Int, Space
from infinito.search.trials import Trial
from infinito.sweeps.record.tables import write_csv
from infinito.sweeps.record.warm_start import read_earlier_trials

SPACE = Space(
    [
        Float("lr", 1e-4, 1e-1, log=True),
        Int("n", 1, 9, step=2),
        Categorical("kind", ["a,b", True, None, 3, 1e-3]),
    ]
)
TRIALS = [
    Trial(0, {"lr": 0.1 / 3, "n": 3, "kind": "a,b"}, (0.1 + 0.2,), "finished"),
    Trial(1, {"lr": 1e-4, "n": 9, "kind": None}, None, "failed", "boom,\n2"),
    Trial(2, {"lr": 1e-3, "n": 1, "kind": 3}, (-1.0,), "finished"),
    Trial(3, {"lr": 1e-3, "n": 1, "kind": None}, (2.0,), "finished"),
    Trial(4, {"lr": 1e-2, "n": 1, "kind": True}),
]


def test_a_table_is_read_back_as_it_was(tmp_path: Path) -> None:
    write_csv(tmp_path / "trials.csv", Search(SPACE, trials=TRIALS), {0: 2.5})
    back, unused = read_earlier_trials(tmp_path / "trials.csv", SPACE, ["minimize"])
    assert unused == 0
    finished = [trial for trial in TRIALS if trial.state == "finished"]
    assert [(t.params, t.values) for t in back] == [(t.params, t.values) for t in finished]


def test_a_table_by_hand(tmp_path: Path) -> None:
    """Numbers and truths in other spellings are read; nan is no score; 2 is no n, `b` no kind."""
    table = tmp_path / "by_hand.csv"
    table.write_text(
        "lr,n,kind,value\n1e-2,1,true,1\n1e-2,3,1E-3,2\n1e-2,5,NULL,3\n"
        "1e-2,1,true,nan\n1e-2,1,true,inf\n1e-2,2,true,4\n1e-2,1,b,5\n"
    )
    found, unused = read_earlier_trials(table, SPACE, ["minimize"])
    kinds = [(trial.params["kind"], trial.values) for trial in found]
    assert kinds == [(True, (1.0,)), (0.001, (2.0,)), (None, (3.0,))]
    assert unused == 2


def test_a_spreadsheets_byte_order_mark_is_no_part_of_a_name(tmp_path: Path) -> None:
    table = tmp_path / "marked.csv"
    table.write_bytes("lr,n,kind,value\n1e-2,1,true,1\n".encode("utf-8-sig"))
    ((trial,), unused) = read_earlier_trials(table, SPACE, ["minimize"])
    assert (trial.params["lr"], unused) == (0.01, 0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"lr,n,kind,value\n1e-2,1,caf\xe9,1\n", "is not a UTF-8 table"),
        (b"lr,n,kind,value\n1e-2,1\n", r"row 1: it has another number of cells than the 4 of"),
        (b"lr,n,kind,value\n1e-2,1,true,1,9,9\n", r"row 1: it has another number of cells"),
        (b'lr,n,kind,value\n1e-2,1,"true,1\n', "is not a UTF-8 table of comma-separated values"),
        (b"lr,n,kind,value\n\x00,1,true,1\n", "none of its 1 trials|is not a UTF-8 table"),
        (b"lr,n,kind\n1e-2,1,true\n", "has no column `value`; expected one for each of lr, n"),
        (b"lr,n,kind,value,value\n1e-2,1,true,1,2\n", "has the column `value` 2 times"),
        (b"lr,n,kind,value\nhigh,1,true,1\n", "the first with a score has lr=high, n=1, kind=True"),
        (b"", "has no column `lr`"),
    ],
)
def test_a_table_that_cannot_be_read(tmp_path: Path, content: bytes, message: str) -> None:
    table = tmp_path / "table.csv"
    table.write_bytes(content)
    with pytest.raises(ConfigError, match=message):
        read_earlier_trials(table, SPACE, ["minimize"])
