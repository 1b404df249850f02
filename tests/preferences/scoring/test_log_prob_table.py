"""The table of log-probabilities: each row belongs to its pair, however pairs are batched."""

from __future__ import annotations

import pytest
import torch

from infinito.preferences.scoring.layout_probe import Layout
from infinito.preferences.scoring.log_prob_table import tabulate_log_probs
from tests.preferences.pair_models import make, random_pairs

PAIRS = random_pairs(9)
SHARED = Layout("shared", "fused")


@pytest.mark.parametrize("batch_tokens", [1, 40, 4096], ids=["one a batch", "some", "all"])
def test_rows_stand_in_the_order_of_the_pairs(batch_tokens: int) -> None:
    model = make("llama").double()
    table = tabulate_log_probs(model, PAIRS, SHARED, batch_tokens=batch_tokens)
    assert table.shape == (9, 2)
    for row, pair in zip(table, PAIRS, strict=True):
        for answer, found in zip((pair.chosen_ids, pair.rejected_ids), row, strict=True):
            ids = torch.tensor([[*pair.prompt_ids, *answer]])
            logs = model(ids).logits[0].log_softmax(-1)
            begin = len(pair.prompt_ids)
            wanted = sum(logs[begin + n - 1, token] for n, token in enumerate(answer))
            torch.testing.assert_close(found, wanted.detach(), atol=2e-5, rtol=1e-5)


def test_dropout_is_off_and_the_mode_is_kept() -> None:
    model = make("gpt2", resid_pdrop=0.5, embd_pdrop=0.5).train()
    one, other = (tabulate_log_probs(model, PAIRS[:3], SHARED) for _ in range(2))
    assert torch.equal(one, other)
    assert model.training


def test_no_pairs_make_an_empty_table() -> None:
    assert tabulate_log_probs(make("gpt2"), [], SHARED).shape == (0, 2)
