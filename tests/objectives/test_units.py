"""A loss in every unit that its text has."""

from __future__ import annotations

import math

import pytest

from infinito.objectives.units import TextUnits, loss_report


def test_each_unit_is_named() -> None:
    report = loss_report(math.log(8), TextUnits(bytes_per_token=4, words_per_token=0.5), "val")
    assert report == {
        "val/loss": pytest.approx(math.log(8)),
        "val/perplexity": pytest.approx(8),
        "val/bits_per_byte": pytest.approx(0.75),
        "val/word_perplexity": pytest.approx(64),
    }


def test_a_text_without_words_has_no_word_perplexity() -> None:
    assert "test/word_perplexity" not in loss_report(1.0, TextUnits(4.0), "test")
