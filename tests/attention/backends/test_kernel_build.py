"""Compiling and caching the CPU kernel: once, by anybody, or with a clear word why not."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from infinito.attention.backends import kernel_build, kernel_call
from infinito.attention.backends.fused_cpu import fused_attention
from infinito.attention.backends.kernel_build import build_kernel, fingerprint, load_kernel
from infinito.errors import DeviceError

needs_kernel = pytest.mark.skipif(
    kernel_call.fault() is not None, reason="the kernel cannot be compiled here"
)


@pytest.fixture
def quick_source(tmp_path, monkeypatch) -> Path:
    """A source that compiles in no time and has the kernel's functions."""
    folder = tmp_path / "source"
    folder.mkdir()
    source = folder / "kernel.cpp"
    source.write_text(
        'extern "C" __attribute__((visibility("default"))) long infinito_attention_forward(void*) '
        "{ return 7; }\n"
        'extern "C" __attribute__((visibility("default"))) long infinito_attention_backward(void*) '
        "{ return 8; }\n"
    )
    monkeypatch.setattr(kernel_build, "SOURCE", source)
    return source


@needs_kernel
@pytest.mark.usefixtures("quick_source")
def test_a_library_is_compiled_once(tmp_path):
    first = build_kernel(tmp_path / "cache")
    written = first.stat().st_mtime_ns
    assert build_kernel(tmp_path / "cache") == first
    assert first.stat().st_mtime_ns == written
    assert [entry.name for entry in (tmp_path / "cache").iterdir()] == [first.name]
    assert load_kernel(tmp_path / "cache").infinito_attention_forward(None) == 7


@needs_kernel
@pytest.mark.usefixtures("quick_source")
def test_a_library_that_came_with_the_wheel_needs_no_compiler(tmp_path, monkeypatch):
    monkeypatch.setattr(kernel_build, "SHIPPED", tmp_path / "built")
    shipped = build_kernel(tmp_path / "built")
    assert build_kernel(tmp_path / "cache", compilers=()) == shipped
    with pytest.raises(DeviceError, match="no C\\+\\+ compiler"):
        build_kernel(tmp_path / "cache", ("-O1",), compilers=())


@needs_kernel
def test_sources_and_flags_have_libraries_of_their_own(quick_source):
    one = fingerprint(("-O1",))
    assert fingerprint(("-O2",)) != one
    quick_source.write_text(quick_source.read_text() + "// changed\n")
    assert fingerprint(("-O1",)) != one


@needs_kernel
@pytest.mark.usefixtures("quick_source")
def test_what_was_compiled_serves_without_a_compiler(tmp_path):
    assert build_kernel(tmp_path) == build_kernel(tmp_path, compilers=("nonesuch",))


@needs_kernel
@pytest.mark.usefixtures("quick_source")
@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:200], lambda _: b"", lambda content: content[:-99] + b"0" * 99],
    ids=["cut short", "empty", "overwritten"],
)
def test_a_damaged_library_is_compiled_anew(tmp_path, damage):
    library = build_kernel(tmp_path)
    content = library.read_bytes()
    library.write_bytes(damage(content))
    assert load_kernel(tmp_path).infinito_attention_backward(None) == 8


@needs_kernel
def test_processes_that_start_together_all_get_it(quick_source, tmp_path):
    code = (
        "import sys\nfrom pathlib import Path\n"
        "from infinito.attention.backends import kernel_build\n"
        "kernel_build.SOURCE = Path(sys.argv[1])\n"
        "kernel_build.load_kernel(Path(sys.argv[2]))"
    )
    command = [sys.executable, "-c", code, str(quick_source), str(tmp_path / "cache")]
    running = [subprocess.Popen(command) for _ in range(3)]
    assert [process.wait(timeout=300) for process in running] == [0, 0, 0]
    assert len(list((tmp_path / "cache").iterdir())) == 1


def test_without_a_compiler_the_message_says_which_are_looked_for(tmp_path):
    with pytest.raises(DeviceError, match=r"no C\+\+ compiler: none of nonesuch is on the PATH"):
        build_kernel(tmp_path, compilers=("nonesuch",))


@needs_kernel
def test_a_source_that_does_not_compile_is_quoted(quick_source, tmp_path):
    quick_source.write_text("#error too narrow a CPU\n")
    with pytest.raises(DeviceError, match="too narrow a CPU"):
        build_kernel(tmp_path)


@needs_kernel
@pytest.mark.usefixtures("quick_source")
@pytest.mark.parametrize("place", ["file", "proc"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, place):
    occupied = tmp_path / "occupied"
    occupied.write_text("")
    folder = occupied / "kernels" if place == "file" else Path("/proc/kernels")
    with pytest.raises(DeviceError, match=r"cannot be written .* XDG_CACHE_HOME"):
        build_kernel(folder)


def test_without_a_kernel_one_warning_and_another_backend_serves(tmp_path):
    """A process whose PATH has no compiler and whose cache is empty."""
    code = (
        "import torch; from infinito.attention import distance_attention, choose_backend, Request\n"
        "q = torch.randn(1, 1, 4, 8)\n"
        "for _ in range(2): distance_attention(q, q, q, metric='l1')\n"
        "print(choose_backend(Request('l1', time_q=2048, time_k=2048)).name)\n"
        "try: distance_attention(q, q, q, metric='l1', backend='fused_cpu')\n"
        "except Exception as error: print(error)\n"
    )
    environment = {**os.environ, "PATH": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120
    )
    assert result.stderr.count("attention backend fused_cpu is off: no C++ compiler") == 1
    assert result.stdout.startswith("chunked\n")
    assert "fused_cpu cannot serve" in result.stdout
    assert "no C++ compiler" in result.stdout


@needs_kernel
@pytest.mark.slow
@pytest.mark.skipif(platform.machine() != "x86_64", reason="AVX2 is of x86-64")
def test_the_narrower_instruction_set_computes_the_same(tmp_path, monkeypatch):
    """AVX2 code runs wherever AVX-512 does, so both are tested on one machine."""
    narrow = load_kernel(tmp_path, target=("-march=haswell",))
    tensors = [torch.randn(1, 2, 130, 40, requires_grad=True) for _ in range(3)]
    results = {}
    for name, library in {"own": kernel_call._load(), "narrow": narrow}.items():
        monkeypatch.setattr(kernel_call, "_load", lambda library=library: library)
        for kernel in kernel_call.KERNELS:
            p = 1.5 if kernel == "lp" else None
            out, _ = fused_attention(*tensors, kernel, True, 0.3, p, None, 0.0, None)
            results[name, kernel] = [out, *torch.autograd.grad(out.square().sum(), tensors)]
    for kernel in kernel_call.KERNELS:
        for own, other in zip(results["own", kernel], results["narrow", kernel], strict=True):
            assert (own - other).abs().max() <= 2e-5 * own.abs().max()
