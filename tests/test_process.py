"""Freed memory stays with the process."""

from __future__ import annotations

import subprocess
import sys

import pytest

from infinito.process import keep_freed_memory

FAULTS = """
import resource
from infinito.process import keep_freed_memory
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
