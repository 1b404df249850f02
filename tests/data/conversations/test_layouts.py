"""Every layout predicts the same tokens from the same words, and packs tightly."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infinito.data.conversations.conversation import TokenizedConversation
from infinito.data.conversations.layouts import LAYOUTS, LayoutName, arrange, pack
from infinito.models.log_probs.chosen_tokens import score_tokens
from tests.preferences.pair_models import make


def conversation(length: int, *learned: int, row: int = 0) -> TokenizedConversation:
    ids = torch.randint(2, 30, (length,), generator=torch.Generator().manual_seed(row)).tolist()
    return TokenizedConversation(ids, learned, len(learned), row)


TALKS = [
    conversation(9, 3, 4, 8, row=0),
    conversation(5, 2, 3, row=1),  # its last token is neither learned nor read
    conversation(4, 1, 2, 3, row=2),
    conversation(12, 11, row=3),
]


@torch.no_grad()
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("call_tokens", [None, 0, 8])
def test_the_loss_is_that_of_each_conversation_alone(
    layout: LayoutName, call_tokens: int | None
) -> None:
    model = make("llama").double().eval()
    batch = arrange(TALKS, layout, call_tokens=call_tokens)
    found = score_tokens(model, batch.inputs, batch.positions, batch.targets)
    alone = []
    for each in TALKS:
        logs = model(input_ids=torch.tensor([each.ids])).logits[0].log_softmax(-1)
        alone += [float(logs[place - 1, each.ids[place]]) for place in each.learned]
    assert sorted(found.log_probs.tolist()) == pytest.approx(sorted(alone), abs=1e-12)
    assert batch.share == 1 / len(alone)


def test_packed_rows_restart_positions_and_hide_other_conversations() -> None:
    """Rows of 8, 3, 3 and 11 tokens: two bins of 11, [11] and [8, 3], and a third of 3."""
    batch = arrange(TALKS, "packed")
    (inputs,) = batch.inputs
    assert inputs["input_ids"].shape == (3, 11)
    assert inputs["position_ids"][1].tolist() == [*range(8), *range(3)]
    visible = inputs["attention_mask"][1, 0] == 0
    assert visible[8].nonzero().flatten().tolist() == [8]
    assert visible[10].nonzero().flatten().tolist() == [8, 9, 10]
    assert visible[7].nonzero().flatten().tolist() == list(range(8))


def test_rows_of_one_length_are_not_packed() -> None:
    batch = arrange([conversation(6, 5, row=n) for n in range(3)], "packed")
    assert set(batch.inputs[0]) == {"input_ids"}


@given(st.lists(st.integers(1, 50), min_size=1, max_size=30))
def test_bins_hold_each_row_once_and_no_more_than_fits(lengths: list[int]) -> None:
    capacity = max(lengths)
    bins = pack(lengths, capacity)
    assert sorted(row for each in bins for row in each) == list(range(len(lengths)))
    assert all(sum(lengths[row] for row in each) <= capacity for each in bins)
    assert len(bins) <= 11 / 9 * -(-sum(lengths) // capacity) * 2
