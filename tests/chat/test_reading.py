"""A text that grows, branches or shrinks is read as if nothing had been kept."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import PreTrainedModel

from infinito.chat.reading import Reader, common_length
from infinito.config import MemoryConf
from infinito.models.memory.model import with_memory
from tests.preferences.pair_models import VOCAB, make

CROPPABLE = ("distance_l1", "distance_dot", "gpt2", "llama", "gpt_neox", "bloom", "memory")
KINDS = (*CROPPABLE, "gemma3_windowed", "mamba")


def build(kind: str) -> PreTrainedModel:
    if kind == "memory":
        return with_memory(make("distance_l1"), MemoryConf(name="integration", segment=8)).eval()
    return make(kind)


def texts() -> list[list[int]]:
    """One that grows by one token and by several, then branches off, shrinks, and stays."""
    draws = torch.Generator().manual_seed(3)
    ids = torch.randint(1, VOCAB, (40,), generator=draws).tolist()
    other = torch.randint(1, VOCAB, (6,), generator=draws).tolist()
    grown = [ids[:12], ids[:13], ids[:14], ids[:24]]
    branched = [*ids[:17], *other]
    return [*grown, branched, ids[:9], ids[:9], other]


@torch.no_grad()
def alone(model: PreTrainedModel, ids: list[int]) -> Tensor:
    return model(input_ids=torch.tensor([ids]), use_cache=False).logits[:, -1]


@pytest.mark.parametrize("kind", KINDS)
def test_logits_are_those_of_the_text_read_alone(kind: str) -> None:
    model = build(kind)
    reader = Reader(model)
    for ids in texts():
        found, expected = reader.read(ids), alone(model, ids)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
        assert int(found.argmax()) == int(expected.argmax())


@pytest.mark.parametrize("kind", CROPPABLE)
def test_only_tokens_after_the_common_beginning_are_computed(kind: str) -> None:
    """12, 1, 1 and 10 for the growth; 6 after the branch; the last one again twice; 6 others."""
    reader = Reader(build(kind))
    costs = []
    for ids in texts():
        before = reader.computed
        reader.read(ids)
        costs.append(reader.computed - before)
    assert costs == [12, 1, 1, 10, 6, 1, 1, 6]
    assert not reader.lost


def test_tokens_before_cached_ones_reach_bigram_embeddings() -> None:
    model = make("distance_l1", bigram_embeddings=64, value_embeddings=True)
    torch.nn.init.normal_(model.model.bigram_embeddings.weight)
    reader = Reader(model)
    for ids in texts():
        torch.testing.assert_close(reader.read(ids), alone(model, ids), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["gemma3_windowed", "mamba"])
def test_a_cache_that_cannot_be_shortened_is_said_to_be_lost(kind: str) -> None:
    reader = Reader(build(kind))
    for ids in texts()[:4]:  # growth alone
        reader.read(ids)
    grown = reader.lost
    reader.read(texts()[4])
    assert reader.lost
    assert grown == (kind == "mamba")  # which names its cache otherwise: nothing is kept of it


def test_an_error_leaves_no_half_of_a_cache() -> None:
    """As a forward pass that ends between two layers does."""
    model = make("distance_l1")
    reader = Reader(model)
    first, *_, last = texts()[:4]
    reader.read(first)

    def fail(*_: object) -> None:
        raise MemoryError

    hook = model.model.layers[1].register_forward_pre_hook(fail)
    with pytest.raises(MemoryError):
        reader.read(last)
    hook.remove()
    assert reader.ids == []
    torch.testing.assert_close(reader.read(last), alone(model, last), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("first", "second", "length"),
    [([], [1], 0), ([1, 2], [1, 2, 3], 2), ([1, 2, 3], [1, 2], 2), ([1, 9, 3], [1, 2, 3], 1)],
)
def test_common_length(first: list[int], second: list[int], length: int) -> None:
    assert common_length(first, second) == length
