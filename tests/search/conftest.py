"""Tests call parts of the search without `Search.ask`, which limits BLAS to one thread itself."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from infinito.search.surrogate.threads import use_one_thread


@pytest.fixture(autouse=True)
def one_blas_thread() -> Iterator[None]:
    with use_one_thread():
        yield
