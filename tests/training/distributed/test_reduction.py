"""Means over processes weigh what each process has."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from infinito.training.distributed import reduction


def test_one_process_keeps_its_means() -> None:
    means = {"a": torch.tensor(0.1)}
    assert reduction.means_over_processes(means, [torch.tensor(3)]) == means


def test_tokens_of_all_processes_count_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here 2 tokens of mean 1 and 1 of mean 5; there 4 of mean 4 and 3 of mean 1.

    Over both: (2 + 16) / 6 = 3 and (5 + 3) / 4 = 2.
    """

    def add_the_other(values: Tensor) -> Tensor:
        return values + torch.tensor([[16.0, 3.0], [4.0, 3.0]])

    monkeypatch.setattr(reduction, "is_shared", lambda: True)
    monkeypatch.setattr(reduction, "sum_over_processes", add_the_other)
    means = {"a": torch.tensor(1.0), "b": torch.tensor(5.0, dtype=torch.float64)}
    found = reduction.means_over_processes(means, [torch.tensor(2), torch.tensor(1)])
    assert {name: float(value) for name, value in found.items()} == {"a": 3.0, "b": 2.0}
