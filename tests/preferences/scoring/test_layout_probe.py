"""Which layout each architecture gets, and that what it gets is right."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import torch

from infinito.config.memory import MemoryConf
from infinito.models.memory.model import with_memory
from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.scoring.answer_scores import score_answers
from infinito.preferences.scoring.layout_probe import choose_layout
from infinito.preferences.scoring.layouts import arrange
from tests.preferences.pair_models import make, random_pairs

PAIRS = random_pairs(6)

EXPECTED = {
    "llama": ("shared", "fused", None),
    "gpt2": ("shared", "fused", None),
    "qwen2": ("shared", "fused", None),
    "gpt_neox": ("shared", "fused", None),
    "distance_l1": ("shared", "fused", None),
    "distance_lp": ("shared", "fused", None),
    "gemma2_capped": ("shared", "module", None),
    "granite": ("shared", "module", None),
    "cohere": ("shared", "module", None),
    "mistral_windowed": ("concat", "fused", "attention is limited to 8 tokens"),
    "gemma2_windowed": ("concat", "module", "attention is limited to 8 tokens"),
    "gemma3_windowed": ("concat", "fused", "attention is limited to 8 tokens"),
    "bloom": ("concat", "fused", "the model refuses it"),
    "mamba": ("concat", "fused", "the model refuses it"),
}
"""Layout, head and the reason in the warning, by architecture."""


@pytest.mark.parametrize("name", EXPECTED)
def test_each_architecture_gets_the_fastest_that_is_right(
    name: str, caplog: pytest.LogCaptureFixture
) -> None:
    model = make(name, p=3.0) if name == "distance_lp" else make(name)
    with caplog.at_level(logging.WARNING, logger="infinito"):
        layout = choose_layout(model, PAIRS)
    expected, head, reason = EXPECTED[name]
    assert (layout.name, layout.head) == (expected, head)
    warnings = [each for each in caplog.messages if "laid out" in each]
    assert len(warnings) == (reason is not None)
    if reason:
        assert reason in warnings[0]
    with torch.no_grad():
        found = score_answers(model, arrange(PAIRS, layout.name), layout.head).log_probs
        plain = score_answers(model, arrange(PAIRS, "full")).log_probs
    assert torch.allclose(found, plain, atol=5e-5)


@pytest.mark.parametrize("name", [name for name in EXPECTED if name != "mamba"])
def test_half_precision_changes_no_choice(name: str) -> None:
    """A cap of 30 is no more than the rounding errors of bfloat16, and yet no linear head's."""
    changes: dict[str, Any] = {"final_logit_softcapping": 30.0} if name == "gemma2_windowed" else {}
    changes = {"p": 3.0} if name == "distance_lp" else changes
    layout = choose_layout(make(name, **changes).bfloat16(), PAIRS)
    assert (layout.name, layout.head) == EXPECTED[name][:2]


def test_a_refusal_of_our_own_is_an_obstacle_like_others() -> None:
    """A memory takes a padding mask and no other: rows of their own, not a stop."""
    model = with_memory(make("llama"), MemoryConf(segment=8, slots=8)).eval()
    assert choose_layout(model, PAIRS).name == "concat"


def test_a_bool_mask_would_be_silently_wrong_with_eager_attention() -> None:
    """Why masks are added: the same mask as bool changes what an eager Llama says."""
    model = make("llama", "eager")
    batch = arrange(PAIRS, "concat")
    shared = arrange(PAIRS, "shared")
    with torch.no_grad():
        plain = score_answers(model, batch).log_probs
        inputs = shared.inputs[0]
        as_bool = {**inputs, "attention_mask": inputs["attention_mask"] == 0}
        hidden = model.model(**as_bool).last_hidden_state.flatten(0, 1)[shared.positions[0]]
        logs = model.lm_head(hidden).log_softmax(-1).gather(-1, shared.targets[:, None])[:, 0]
    wrong = torch.zeros_like(plain).index_add(0, shared.answers, logs.double())
    assert float((wrong - plain).abs().max()) > 0.1


def test_a_pair_that_is_long_as_a_row_only_is_tried_too() -> None:
    """GPT-Neo's local attention counts places of the row: 24 hold each answer, not 40 of a row."""
    torch.manual_seed(0)
    lengths = [(3, 20, 2), (3, 18, 18)]  # the first one's answer ends last

    def draw(count: int) -> list[int]:
        ids: list[int] = torch.randint(1, 24, (count,)).tolist()
        return ids

    pairs = [
        TokenizedPair(draw(prompt), draw(chosen), draw(rejected), None, row)
        for row, (prompt, chosen, rejected) in enumerate(lengths)
    ]
    model = make("gpt_neo")
    assert choose_layout(model, pairs[:1]).name == "shared"
    assert choose_layout(model, pairs).name == "concat"


def test_a_layout_asked_for_is_tried_first(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="infinito"):
        assert choose_layout(make("llama"), PAIRS, "concat").name == "concat"
        assert choose_layout(make("llama"), PAIRS, "full").name == "full"
    assert not caplog.messages


def test_the_training_mode_is_kept() -> None:
    for training in (True, False):
        model = make("gpt2").train(training)
        choose_layout(model, PAIRS)
        assert model.training == training
