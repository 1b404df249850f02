"""Layouts: the rows by hand, and the same log-probabilities as from plain logits, pair by pair."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from infinito.data.batches.row_padding import group_by_length
from infinito.models.log_probs.chosen_tokens import Head
from infinito.preferences.pairs.pair import TokenizedPair
from infinito.preferences.scoring.answer_scores import score_answers
from infinito.preferences.scoring.layouts import LAYOUTS, LayoutName, arrange
from tests.preferences.pair_models import make, random_pairs

TOLERANCE = {"llama": 2e-5, "gpt2": 1e-5, "distance_dot": 1e-9, "distance_l1": 1e-9}
"""In float64; transformers' models turn to float32 for norms, rotations or softmax."""

PAIR = TokenizedPair([5, 6], [7, 8, 9], [3, 4], None, 11, 2.0)


def test_a_shared_row_by_hand() -> None:
    """5 6 | 7 8 | 3: the last token of an answer predicts nothing; 3 stands where 7 does."""
    batch = arrange([PAIR], "shared")
    (inputs,) = batch.inputs
    assert inputs["input_ids"].tolist() == [[5, 6, 7, 8, 3]]
    assert inputs["position_ids"].tolist() == [[0, 1, 2, 3, 2]]
    visible = inputs["attention_mask"][0, 0] == 0
    assert visible.int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 1, 1, 0],
        [1, 1, 0, 0, 1],
    ]
    assert batch.targets.tolist() == [7, 8, 9, 3, 4]
    assert [part.tolist() for part in batch.positions] == [[1, 2, 3, 1, 4]]
    assert batch.answers.tolist() == [0, 0, 0, 1, 1]
    assert batch.tokens.tolist() == [3, 2]
    assert (batch.weights.tolist(), batch.rows.tolist(), batch.share) == ([2.0], [11], 1.0)


def test_a_row_for_each_answer_by_hand() -> None:
    batch = arrange([PAIR], "concat")
    assert batch.inputs[0]["input_ids"].tolist() == [[5, 6, 7, 8], [5, 6, 3, 0]]
    assert [part.tolist() for part in batch.positions] == [[1, 2, 3, 5, 6]]
    assert set(batch.inputs[0]) == {"input_ids"}
    mask = arrange([PAIR], "full").inputs[0]["attention_mask"]
    assert mask.tolist() == [[1, 1, 1, 1], [1, 1, 1, 0]]


def test_parts_by_hand() -> None:
    """A further call costs 3 tokens: 2 2 3 | 9 9 pads one token, 2 2 3 9 9 would pad twenty."""
    assert group_by_length([9, 2, 3, 9, 2], 3) == [[1, 2, 4], [0, 3]]
    assert group_by_length([9, 2, 3, 9, 2], 0) == [[1, 4], [2], [0, 3]]
    assert group_by_length([9, 2, 3, 9, 2], 100) == [[0, 1, 2, 3, 4]]


@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(0, 40))
def test_parts_cost_least(lengths: list[int], call_tokens: int) -> None:
    """Against all ways to cut the sorted rows."""

    def cost(parts: list[list[int]]) -> int:
        return sum(len(part) * max(lengths[row] for row in part) + call_tokens for part in parts)

    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    ways = []
    for cuts in product([False, True], repeat=len(order) - 1):
        parts = [[order[0]]]
        for row, cut in zip(order[1:], cuts, strict=True):
            parts.append([row]) if cut else parts[-1].append(row)
        ways.append(cost(parts))
    found = group_by_length(lengths, call_tokens)
    assert sorted(row for part in found for row in part) == list(range(len(lengths)))
    assert cost(found) == min(ways)


@torch.no_grad()
def plain_log_probs(model: torch.nn.Module, pair: TokenizedPair) -> list[float]:
    """Each answer alone in a row, from the model's logits in float64."""
    sums = []
    for answer in (pair.chosen_ids, pair.rejected_ids):
        ids = torch.tensor([[*pair.prompt_ids, *answer]])
        logs = model(input_ids=ids, use_cache=False).logits[0].double().log_softmax(-1)
        start = len(pair.prompt_ids)
        sums.append(sum(float(logs[start + n - 1, token]) for n, token in enumerate(answer)))
    return sums


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "distance_dot", "distance_l1"])
def test_every_layout_and_head_agrees_with_plain_logits(name: str, attention: str) -> None:
    model = make(name, attention).double()
    pairs = random_pairs(5)
    sums = [plain_log_probs(model, pair) for pair in pairs]
    expected = torch.tensor(sums, dtype=torch.float64).T.flatten()
    heads: tuple[Head, Head] = ("fused", "module")
    for layout in LAYOUTS:
        for head in heads:
            for call_tokens in (None, 0, 8):
                batch = arrange(pairs, layout, call_tokens=call_tokens)
                assert len(batch.inputs) == 1 or call_tokens is not None
                with torch.no_grad():
                    found = score_answers(model, batch, head).log_probs
                close = torch.allclose(found, expected, rtol=0, atol=TOLERANCE[name])
                assert close, (layout, head, call_tokens)


@pytest.mark.parametrize("name", ["llama", "gpt2", "distance_l1"])
def test_gradients_agree(name: str) -> None:
    pairs = random_pairs(3)

    def gradients(
        layout: LayoutName, head: Head, call_tokens: int | None = None
    ) -> list[torch.Tensor]:
        model = make(name).double()
        batch = arrange(pairs, layout, call_tokens=call_tokens)
        scores = score_answers(model, batch, head).log_probs
        (scores * torch.linspace(-1, 1, 6)).sum().backward()
        return [each.grad for each in model.parameters() if each.grad is not None]

    expected = gradients("full", "module")
    for layout, head, call_tokens in (
        ("shared", "fused", None),
        ("shared", "fused", 0),
        ("shared", "module", 0),
        ("concat", "fused", 4),
    ):
        found = gradients(layout, head, call_tokens)  # type: ignore[arg-type]
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert torch.allclose(
                one, other, rtol=0, atol=TOLERANCE[name] * float(other.abs().max())
            )


def test_answers_do_not_see_each_other() -> None:
    """Another rejected answer leaves the chosen one's scores as they are, bit for bit."""
    model = make("llama")
    other = TokenizedPair(PAIR.prompt_ids, PAIR.chosen_ids, [1, 2], None, 0)
    with torch.no_grad():
        first, second = (
            score_answers(model, arrange([pair], "shared")).tokens.log_probs
            for pair in (PAIR, other)
        )
    assert torch.equal(first[:3], second[:3])
    assert not torch.equal(first[3:], second[3:])


def test_a_batch_moves_whole() -> None:
    moved = arrange([PAIR], "shared", reference=torch.zeros(2)).to(torch.device("meta"))
    tensors = [*moved.inputs[0].values(), *moved.positions]
    tensors += [each for each in moved if isinstance(each, torch.Tensor)]
    assert len(tensors) == 10
    assert all(each.is_meta for each in tensors)


@pytest.mark.parametrize("name", ["llama", "distance_l1"])
@pytest.mark.parametrize("whole", [False, True])
def test_lower_precision_is_near(name: str, whole: bool) -> None:
    """Under autocast and in bfloat16 throughout: answers score alike, gradients are finite."""
    pairs = random_pairs(4)
    batch = arrange(pairs, "shared", call_tokens=8)
    with torch.no_grad():
        exact = score_answers(make(name), batch).log_probs
    model = make(name).bfloat16() if whole else make(name)
    with torch.autocast("cpu", torch.bfloat16, enabled=not whole):
        found = score_answers(model, batch).log_probs
    found.sum().backward()
    assert found.dtype == torch.float64
    assert torch.allclose(found, exact, rtol=0.1, atol=1.0)
    assert all(
        torch.isfinite(each.grad).all() for each in model.parameters() if each.grad is not None
    )
