"""Streams of pairs: every epoch whole, begun anywhere, references beside their pairs."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
import torch

from infinito.errors import DataError
from infinito.preferences.pairs.datamodule import PreferenceDataModule
from tests.preferences.pair_models import random_pairs

PAIRS = random_pairs(11)
TABLE = torch.arange(22, dtype=torch.float64).view(11, 2)


def data(**changes: Any) -> PreferenceDataModule:
    settings: dict[str, Any] = {"layout": "shared", "batch_size": 4, "seed": 1, **changes}
    return PreferenceDataModule(PAIRS, PAIRS[:5], **settings)


def rows(module: PreferenceDataModule) -> list[list[int]]:
    return [batch.rows.tolist() for batch in module.train_dataloader()]


@pytest.mark.parametrize("bucket", [True, False])
def test_epochs_follow_each_other_and_begin_anywhere(bucket: bool) -> None:
    module = data(bucket=bucket)
    module.total_batches = 7
    whole = rows(module)
    assert module.batches_per_epoch() == 3
    assert module.batches_per_epoch(world_size=2) == 2
    assert len(whole) == len(module.train_dataloader()) == 7
    assert sorted(chain(*whole[:3])) == sorted(chain(*whole[3:6])) == list(range(11))
    assert whole[:3] != whole[3:6]
    for start in (1, 3, 5):
        module.start_batch = start
        assert rows(module) == whole[start:]


def test_references_stand_beside_their_pairs() -> None:
    module = data(train_reference=TABLE, valid_reference=TABLE[:5])
    for batch in (*module.train_dataloader(), *module.val_dataloader()):
        assert batch.reference is not None
        chosen, rejected = batch.reference.chunk(2)
        assert chosen.tolist() == (2.0 * batch.rows).tolist()
        assert rejected.tolist() == (2.0 * batch.rows + 1).tolist()


def test_held_out_pairs_once_each() -> None:
    module = data(eval_batch_size=2)
    seen = [batch.rows.tolist() for batch in module.val_dataloader()]
    assert sorted(chain(*seen)) == list(range(5))
    assert len(seen) == len(module.val_dataloader()) == 3


def test_the_first_held_out_batches_are_not_the_shortest() -> None:
    pairs = random_pairs(40, longest=30)
    module = PreferenceDataModule(pairs, pairs, layout="shared", batch_size=4)
    tokens = [[pairs[row].tokens for row in batch.rows] for batch in module.val_dataloader()]
    means = [sum(batch) / len(batch) for batch in tokens]
    assert sorted(means) != means
    assert sum(means[:5]) / 5 == pytest.approx(sum(means) / 10, rel=0.3)
    again = [batch.rows.tolist() for batch in module.val_dataloader()]
    assert [[pairs[row].tokens for row in batch] for batch in again] == tokens


@pytest.mark.parametrize(("train", "valid", "name"), [([], PAIRS, "training"), (PAIRS, [], "held")])
def test_an_empty_set_is_refused(train: list[Any], valid: list[Any], name: str) -> None:
    with pytest.raises(DataError, match=f"There is no {name}"):
        PreferenceDataModule(train, valid, layout="shared", batch_size=2)
