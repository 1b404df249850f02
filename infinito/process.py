"""What is set once in a process: memory, tiny numbers, how threads wait and how many."""

from __future__ import annotations

import atexit
import ctypes
import gc
import os
import select
import sys

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3
"""Names of glibc's `mallopt`."""
LARGEST_BYTES = 32 * 2**20
"""What glibc takes at most for MMAP_THRESHOLD on 64 bits; greater tensors are mapped anew."""
USER_SETTINGS = ("GLIBC_TUNABLES", "LD_PRELOAD", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_")


def keep_freed_memory() -> bool:
    """Make glibc keep freed memory instead of giving it back to the kernel.

    Every step of a training frees its gradients and activations and asks for as much again. What
    has been given back comes as new pages, zeroed one fault at a time, which can cost as much as
    the arithmetic of a small step. The greatest use of memory stays about what it was.

    Returns:
        Whether glibc agreed. It is not called on other systems, nor where the user has chosen an
        allocator or its settings.
    """
    if not sys.platform.startswith("linux") or any(name in os.environ for name in USER_SETTINGS):
        return False
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return False
    return bool(mallopt(MMAP_THRESHOLD, LARGEST_BYTES) and mallopt(TRIM_THRESHOLD, 2**31 - 1))


def give_back_freed_memory() -> None:
    """Let glibc return what is free to the kernel, after something large that does not come again.

    Elsewhere nothing happens.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None
    if trim is not None:
        trim(0)


def flush_denormals() -> bool:
    """Let the CPU take numbers below 1.2e-38 as 0, in this thread and those it starts later.

    Arithmetic with them is many times slower, and training makes them: Adam's mean of a gradient
    that has stayed away, as of a rare token's embedding, gets there within a thousand steps.

    Returns:
        Whether the CPU can.
    """
    import torch

    return torch.set_flush_denormal(True)


def skip_filling() -> None:
    """Leave new memory as it is in deterministic runs, which torch otherwise fills with NaN.

    The filling would make a read of memory that nothing has written yet repeatable. Nothing here
    reads such memory, so results are the same bits without it, and a step saves a write of every
    gradient and activation: 15 to 30 % of its time for a large model on a CPU.
    """
    import torch.utils.deterministic

    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


def share_cores() -> None:
    """Let idle OpenMP threads sleep, not spin, where others use the cores too.

    Must run before torch is loaded. On two cores of which one was busy, spinning made two threads
    several times slower than one.
    """
    busy = hasattr(os, "getloadavg") and os.getloadavg()[0] > 0.5
    if busy:
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def leave_at_once() -> None:
    """Let this process end without a last search for unused objects, which would find nothing.

    Python searches all objects when it ends: with torch and transformers loaded these are some
    400,000, and the search takes more than a second in which the terminal stands still.
    """
    atexit.register(gc.freeze)


def has_no_reader() -> bool:
    """Return whether standard output is a pipe that nobody reads any more, as after `| head`."""
    found = select.poll()
    found.register(1, 0)
    return any(event & select.POLLERR for _, event in found.poll(0))


def drop_output() -> None:
    """Let what is still to be printed go nowhere, so that Python's last flush does not fail."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def use_threads(count: int) -> None:
    """Give torch so many CPU threads."""
    import torch

    torch.set_num_threads(count)


def resident_mib() -> float:
    """Return the memory that this process holds now, in MiB; the most it has held off Linux."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
    except OSError:
        return peak_rss_mib()


def peak_rss_mib() -> float:
    """Return the most memory this process has held, in MiB."""
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


def available_mib() -> float | None:
    """Return the memory in MiB that this process can still take without swapping; None off Linux.

    A container's limit counts where it is lower than what the machine has. Cached files count as
    free, as the kernel drops them first.
    """
    try:
        meminfo = dict(line.split(":") for line in _read("/proc/meminfo").splitlines())
    except OSError:
        return None
    free = int(meminfo["MemAvailable"].split()[0]) / 2**10
    try:
        group = "/sys/fs/cgroup/memory"
        stat = dict(line.split() for line in _read(f"{group}.stat").splitlines())
        held = int(_read(f"{group}.current")) - int(stat["inactive_file"])
        free = min(free, (int(_read(f"{group}.max")) - held) / 2**20)
    except (OSError, ValueError):  # no container, or one without a limit ("max")
        pass
    return free


def _read(path: str) -> str:
    with open(path, encoding="ascii") as file:
        return file.read()


def use_matmul_precision(precision: str) -> None:
    """Let torch compute products of float32 matrices as `trainer.matmul_precision` says."""
    import torch

    torch.set_float32_matmul_precision(precision)
