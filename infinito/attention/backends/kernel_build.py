"""Compiles the fused CPU attention for this very CPU, once per user or wheel, and loads it.

What the kernel computes is in `cpu/kernel.cpp`; how torch calls it in `fused_cpu`.
"""

from __future__ import annotations

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from infinito.errors import DeviceError

SOURCE = Path(__file__).parent / "cpu" / "kernel.cpp"
SHIPPED = Path(__file__).parent / "built"
"""Where a wheel has the library of the CPU that it was built on."""
COMPILERS = ("c++", "g++", "clang++")
COMPILE_FLAGS = (
    "-fvisibility=hidden",
    "-fno-math-errno",
    "-O3",
    "-std=c++17",
    "-fPIC",
    "-shared",
    "-pthread",
)
COMPILE_TIMEOUT_S = 300


def target_flags() -> tuple[str, ...]:
    """Return the flags that make a compiler use all that this CPU has."""
    return ("-march=native",) if platform.machine() in ("x86_64", "AMD64") else ("-mcpu=native",)


def build_kernel(
    folder: Path, target: Sequence[str] = (), compilers: Sequence[str] = COMPILERS
) -> Path:
    """Return the compiled library, compiling it when neither wheel nor folder have it.

    Processes may build at once: each compiles into a file of its own and renames it.

    Args:
        folder: where compiled libraries are kept; made when missing.
        target: flags that choose the instruction set; () is this CPU's own.
        compilers: commands to look for, best first.

    Raises:
        DeviceError: no compiler, a source it refuses, or a folder that cannot be written.
    """
    target = tuple(target) or target_flags()
    library = folder / f"fused_cpu-{fingerprint(target)}.so"
    for known in (SHIPPED / library.name, library):
        if _is_whole(known):
            return known
    compiler = next(filter(None, map(shutil.which, compilers)), None)
    if compiler is None:
        raise DeviceError(
            f"no C++ compiler: none of {', '.join(compilers)} is on the PATH. Install one, e.g. "
            "`apt install g++`"
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder, prefix="build-") as scratch:
            fresh = Path(scratch) / library.name
            _compile([compiler, *COMPILE_FLAGS, *target, str(SOURCE), "-o", str(fresh)])
            _seal(fresh)
            os.replace(fresh, library)
    except OSError as error:
        raise DeviceError(
            f"the kernel cache {folder} cannot be written ({error.strerror}). Make it writable, or "
            "point XDG_CACHE_HOME at a folder that is"
        ) from error
    return library


def load_kernel(folder: Path, target: Sequence[str] = ()) -> ctypes.CDLL:
    """Return the loaded library, compiled first when it is missing or damaged.

    Raises:
        DeviceError: as `build_kernel`, or the library does not load.
    """
    library = build_kernel(folder, target)
    try:
        kernel = ctypes.CDLL(str(library))
        for function in (kernel.infinito_attention_forward, kernel.infinito_attention_backward):
            function.argtypes = [ctypes.c_void_p]
            function.restype = ctypes.c_int64
    except (OSError, AttributeError) as error:
        raise DeviceError(f"the compiled kernel {library} does not load: {error}") from error
    return kernel


def fingerprint(target: Sequence[str]) -> str:
    """Return a name for what a compiled library depends on: sources, flags and CPU."""
    digest = hashlib.sha256()
    for source in sorted(SOURCE.parent.iterdir()):
        digest.update(source.read_bytes())
    digest.update(repr((COMPILE_FLAGS, tuple(target), _cpu_features())).encode())
    return digest.hexdigest()[:20]


def _seal(library: Path) -> None:
    """Append the file's digest, which the loader ignores: mapping a damaged library could crash."""
    content = library.read_bytes()
    library.write_bytes(content + hashlib.sha256(content).digest())


def _is_whole(library: Path) -> bool:
    try:
        content = library.read_bytes()
    except OSError:
        return False
    return hashlib.sha256(content[:-32]).digest() == content[-32:]


def _compile(command: list[str]) -> None:
    try:
        result = subprocess.run(
            command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise DeviceError(f"{command[0]} cannot compile the fused CPU attention: {error}") from None
    if result.returncode:
        lines = result.stderr.strip().splitlines() or ["no message"]
        first = next((line for line in lines if "error" in line), lines[0])
        raise DeviceError(f"{command[0]} cannot compile the fused CPU attention: {first}")


def _cpu_features() -> tuple[str, ...]:
    """Return what tells CPUs apart that share a cache folder, e.g. the nodes of a cluster."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine(), platform.processor(), platform.version()
    kinds = ("model name", "flags", "Features", "CPU part")
    found = {line for line in lines if line.startswith(kinds)}
    return platform.machine(), *sorted(found)
