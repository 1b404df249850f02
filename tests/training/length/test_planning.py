"""The length of a training, by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from infinito.config import RunConf
from infinito.training.length.planning import Length, plan_length


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (("trainer.max_steps=7",), Length(10, 7, 7, 7)),
        (("trainer.max_steps=7", "trainer.accumulate=3"), Length(10, 21, 7, 10)),
        (("trainer.epochs=2", "trainer.max_steps=null"), Length(10, 20, 20, 10)),
        (("trainer.epochs=2", "trainer.max_steps=7"), Length(10, 7, 7, 7)),
        (
            ("trainer.epochs=1", "trainer.max_steps=null", "trainer.accumulate=3"),
            Length(10, 10, 4, 10),
        ),
    ],
)
def test_the_shorter_limit_rules(
    configured: Callable[..., RunConf], options: tuple[str, ...], expected: Length
) -> None:
    """43 windows make 10 batches of 4 an epoch; the last step may have fewer batches."""
    conf = configured("trainer.validate_every=null", *options)
    assert plan_length(conf, windows=43) == expected
