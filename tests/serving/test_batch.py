"""Texts that are continued together get the answers that they get alone."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
import torch

from infinito.chat.answer_text import AnswerText
from infinito.chat.sampling import Sampler
from infinito.config import GenerationConf
from infinito.models.generation import continue_tokens, sampling_settings
from infinito.models.trained import Trained
from infinito.serving.batch import PaddedBatch, build_batch
from infinito.serving.engine import Engine, Full, Job, Piece

GREEDY = GenerationConf(temperature=0, max_new_tokens=12)
KINDS = ("distance_l1", "distance_dot", "llama", "gpt2", "bloom", "memory_distance_l1")


def prompts() -> list[list[int]]:
    draws = torch.Generator().manual_seed(4)
    lengths = (3, 20, 9, 14, 1, 30, 7, 11)
    return [torch.randint(3, 30, (length,), generator=draws).tolist() for length in lengths]


def alone(trained: Trained, ids: list[int], tokens: int = 12) -> list[int]:
    options = sampling_settings(GREEDY, trained) | {"max_new_tokens": tokens}
    return continue_tokens(trained.model, torch.tensor([ids]), **options)[0, len(ids) :].tolist()


class Asked:
    """A request and what came of it."""

    def __init__(self, trained: Trained, ids: list[int], limit: int = 12) -> None:
        self.pieces: list[Piece] = []
        self.done = threading.Event()
        device = trained.model.device
        self.job = Job(
            ids,
            Sampler(GREEDY, 0, device),
            limit,
            frozenset(),
            AnswerText(trained.tokenizer),
            self.tell,
        )

    def tell(self, piece: Piece) -> None:
        self.pieces.append(piece)
        if piece.end or piece.fault:
            self.done.set()


@pytest.mark.parametrize("kind", [*KINDS, "gemma3_windowed", "mamba"])
def test_answers_of_a_full_engine_are_those_given_alone(
    talker: Callable[..., Trained], kind: str
) -> None:
    """Eight requests of different lengths for three places: they join and leave at any step."""
    trained = talker(kind, eos_token_id=None)
    engine = Engine(trained.model, places=3, queue=8)
    try:
        asked = [Asked(trained, ids, limit=4 + n) for n, ids in enumerate(prompts())]
        for each in asked:
            engine.submit(each.job)
        assert all(each.done.wait(60) for each in asked)
    finally:
        engine.close()
    assert engine.is_single == (kind not in KINDS)
    for n, each in enumerate(asked):
        assert each.job.answer == alone(trained, each.job.ids, 4 + n)
        assert each.pieces[-1].end == "length"


def test_rows_that_leave_take_their_padding_with_them(talker: Callable[..., Trained]) -> None:
    batch = build_batch(talker().model)
    assert isinstance(batch, PaddedBatch)
    batch.add([4, 5, 6, 7, 8])
    batch.add([9, 10])
    batch.step([3, 3])
    assert tuple(batch.ids.shape) == (2, 6)
    batch.keep([1])
    assert batch.ids.tolist() == [[9, 10, 3]]
    assert batch.cache is not None
    assert batch.cache.get_seq_length() == 3
    batch.keep([])
    assert batch.cache is None


@pytest.mark.parametrize("kind", ["distance_l1", "mamba"])
def test_a_fault_ends_its_own_request_only(talker: Callable[..., Trained], kind: str) -> None:
    trained = talker(kind, eos_token_id=None)
    engine = Engine(trained.model, places=4, queue=4)
    good, bad = Asked(trained, [4, 5]), Asked(trained, [10_000])  # no such token
    later = Asked(trained, [6, 7, 8])
    try:
        for each in (good, bad, later):
            engine.submit(each.job)
        assert all(each.done.wait(60) for each in (good, bad, later))
    finally:
        engine.close()
    assert isinstance(bad.pieces[-1].fault, IndexError)
    assert good.job.answer == alone(trained, [4, 5])
    assert later.job.answer == alone(trained, [6, 7, 8])


def test_a_cancelled_request_leaves_its_place(talker: Callable[..., Trained]) -> None:
    trained = talker()
    engine = Engine(trained.model, places=1, queue=0)
    long, later = Asked(trained, [4, 5], limit=10**6), Asked(trained, [6])
    try:
        engine.submit(long.job)
        while not long.pieces:
            pass
        with pytest.raises(Full):
            engine.submit(later.job)
        long.job.is_cancelled = True
        while engine.count() != (0, 0):
            pass
        engine.submit(later.job)
        assert later.done.wait(60)
    finally:
        engine.close()
    with pytest.raises(Full):
        engine.submit(later.job)
