"""Linear algebra in one thread: matrices this small are slower in two."""

from __future__ import annotations

from contextlib import AbstractContextManager
from functools import cache
from typing import Any


def use_one_thread() -> AbstractContextManager[object]:
    """Limit numpy's and scipy's BLAS to the calling thread, in a `with` block.

    On a busy machine their threads wait for each other: a suggestion can take ten times as long.
    """
    limits: AbstractContextManager[object] = _controller().limit(limits=1, user_api="blas")
    return limits


@cache
def _controller() -> Any:
    import scipy.linalg  # noqa: F401  (its BLAS is found only once it is loaded)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
