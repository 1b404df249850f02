"""BLAS keeps to one thread while the search thinks, and has its threads back afterwards."""

from __future__ import annotations

from threadpoolctl import threadpool_info

from infinito.search.surrogate.threads import use_one_thread


def blas_threads() -> list[int]:
    return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]


def test_one_thread_inside_as_many_as_before_outside() -> None:
    use_one_thread()
    before = blas_threads()
    with use_one_thread():
        assert set(blas_threads()) == {1}
    assert blas_threads() == before
