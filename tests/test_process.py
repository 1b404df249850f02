"""Freed memory stays with the process, and tiny numbers become zero."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
import torch

from infinito import process
from infinito.process import flush_denormals, keep_freed_memory, skip_filling

FAULTS = """
import resource
from infinito.process import flush_denormals, keep_freed_memory
{told}
def step():
    parts = [bytearray(b"x") * 2**22 for _ in range(4)]
step(), step()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    step()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""
"""How many pages are new while 16 MiB are taken and freed ten times, which is 40,960 pages."""


def faults(told: str) -> int:
    code = FAULTS.format(told=told)
    return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only glibc can be told")
def test_freed_memory_is_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LD_PRELOAD", "GLIBC_TUNABLES"):
        monkeypatch.delenv(name, raising=False)
    told, not_told = faults("assert keep_freed_memory()"), faults("")
    assert told < 1000
    assert not_told > 10 * told


def test_the_choice_of_the_user_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "131072")
    assert not keep_freed_memory()


def test_tiny_numbers_become_zero() -> None:
    """The last factor makes a number that float32 holds with fewer digits only."""
    tiny = torch.full((1000,), 1e-30)
    try:
        can = flush_denormals()
        flushed = tiny * 1e-10
    finally:
        torch.set_flush_denormal(False)
    assert flushed.any() != can
    assert (tiny * 1e-10).all()


def test_free_memory_is_that_of_the_container_if_it_has_less(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """64 GiB on the machine; of the container's 8 GiB 5 are held, 2 of them cached files."""
    gib = 2**30
    files = {
        "/proc/meminfo": f"MemTotal: 1 kB\nMemAvailable: {64 * gib // 1024} kB\n",
        "/sys/fs/cgroup/memory.stat": f"anon 7\ninactive_file {2 * gib}\n",
        "/sys/fs/cgroup/memory.current": f"{5 * gib}\n",
        "/sys/fs/cgroup/memory.max": f"{8 * gib}\n",
    }
    monkeypatch.setattr(process, "_read", files.__getitem__)
    assert process.available_mib() == 5 * 1024
    files["/sys/fs/cgroup/memory.max"] = "max\n"
    assert process.available_mib() == 64 * 1024

    def absent(_: str) -> str:
        raise FileNotFoundError

    monkeypatch.setattr(process, "_read", absent)
    assert process.available_mib() is None


def test_new_memory_is_left_unfilled_in_deterministic_runs() -> None:
    """Deterministic torch fills it with NaN: filled memory of a size that was just freed is NaN."""
    settings: Any = torch.utils.deterministic
    kept = settings.fill_uninitialized_memory
    try:
        skip_filling()
        torch.use_deterministic_algorithms(True)
        assert not settings.fill_uninitialized_memory
        assert not torch.empty(1000).isnan().all()
    finally:
        torch.use_deterministic_algorithms(False)
        settings.fill_uninitialized_memory = kept
