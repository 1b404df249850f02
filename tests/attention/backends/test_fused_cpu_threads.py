"""The fused CPU kernel on any number of threads, after a fork, and with little memory."""

from __future__ import annotations

import os
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infinito.attention.backends.kernel_call import KERNELS, fault
from tests.attention.backends.fused_cpu_calls import attend, draw, request_for, with_gradients

pytestmark = pytest.mark.skipif(fault() is not None, reason="the kernel cannot be compiled here")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("dropout_p", [0.0, 0.3])
def test_every_thread_count_gives_the_same_bits(kernel, dropout_p):
    tensors = draw(257, 257, 16, batch=1, heads=2, kv_heads=1)
    threads = torch.get_num_threads()
    runs = []
    try:
        for count in (1, 2, 3, 8):
            torch.set_num_threads(count)
            torch.manual_seed(0)
            runs.append(with_gradients(tensors, kernel, dropout_p=dropout_p))
    finally:
        torch.set_num_threads(threads)
    for other in runs[1:]:
        assert all(map(torch.equal, runs[0], other))


def assert_in_child(work: Callable[[], None]) -> None:
    """Assert that a forked child, whose limits are its own, does the work without an error."""
    child = os.fork()
    if child == 0:
        try:
            work()
            os._exit(0)
        finally:
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_a_forked_child_has_threads_of_its_own():
    tensors = draw(130, 130, 16)
    threads = torch.get_num_threads()
    torch.set_num_threads(2)

    def attend_again() -> None:
        found = attend(tensors, request_for("l1", *tensors))
        assert torch.equal(found, wanted)

    try:
        wanted = attend(tensors, request_for("l1", *tensors))
        assert_in_child(attend_again)
    finally:
        torch.set_num_threads(threads)


LITTLE_MEMORY = """
import resource
from pathlib import Path
import pytest, torch
from infinito.attention.backends import fused_cpu
from infinito.attention.backends.fused_cpu import fused_attention, fused_attention_backward

def leave_memory(mib):
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * resource.getpagesize() + mib * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))

options = ("l1", True, 1.0, None, None, 0.0, None)
small = [torch.randn(1, 2, 130, 16) for _ in range(3)]
"""
"""The start of a program of its own, as neither limits nor torch's threads survive a fork well."""
on_linux = pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="it reads Linux's own figures"
)


def assert_works_with_little_memory(program: str) -> None:
    run = subprocess.run(
        [sys.executable, "-c", LITTLE_MEMORY + program], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr


@on_linux
def test_a_machine_that_gives_no_threads_still_gives_the_result():
    assert_works_with_little_memory("""
torch.set_num_threads(1)
wanted, _ = fused_attention(*small, *options)
torch.set_num_threads(4)
leave_memory(4)  # less than the stack of a thread
found, _ = fused_attention(*small, *options)
assert torch.equal(found, wanted)
""")


@on_linux
@pytest.mark.parametrize(("step", "dim"), [("decode", 4_000_000), ("backward", 500_000)])
def test_memory_that_runs_out_on_any_thread_is_an_error(step, dim):
    """Each thread wants about 800 MB to work in.

    Starting the threads beforehand makes sure that they are there to run out of memory.
    """
    assert_works_with_little_memory(f"""
torch.set_num_threads(2)
fused_attention(*small, *options)
work, tensors = fused_attention, [torch.zeros(2, 1, 1, {dim})] * 3
if "{step}" == "backward":
    out, softmax = work(*tensors, *options)
    work, tensors = fused_attention_backward, [out, *tensors, out, softmax]
leave_memory(100)
with pytest.raises(MemoryError, match="ran out of memory"):
    work(*tensors, *options)
""")
