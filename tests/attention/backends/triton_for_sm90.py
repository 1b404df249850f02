"""Compiles the Triton kernels for sm_90, without a GPU, and prints the bytes that each spills."""

from __future__ import annotations

import re
import subprocess
import tempfile
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from infinito.attention.backends.triton import kernels
from infinito.attention.backends.triton.operators import COLS, ROWS, WARPS

FIXED = {"DIM": 64, "WIDTH": 64, "WIDE": 64, "ROWS": ROWS, "COLS": COLS, "PADDED": False}
TYPES = {"padding": "*i8", "_factor": "fp32", "factor": "fp32", "bits": "fp32"}
COUNTS = ("heads", "group", "time_q", "time_k")
PTXAS = sorted((Path(triton.__file__).parent / "backends" / "nvidia" / "bin").glob("ptxas*"))[-1]


def spilled_bytes(function: triton.JITFunction, kernel: str) -> int:
    """Return the bytes that a kernel spills, stores and loads together."""
    names = function.arg_names
    fixed = {**FIXED, "CAUSAL": True, "L1": kernel == "l1"}
    types = {
        name: "constexpr"
        if name in fixed
        else TYPES.get(name, "i32" if name in COUNTS else "*fp32")
        for name in names
    }
    aligned = [n for n in names if types[n].startswith("*") or n.startswith("time")]
    source = ASTSource(
        function,
        types,
        constexprs={(names.index(name),): value for name, value in fixed.items()},
        attrs={(names.index(name),): [["tt.divisibility", 16]] for name in aligned},
    )
    target = GPUTarget("cuda", 90, 32)
    ptx = triton.compile(source, target=target, options={"num_warps": WARPS}).asm["ptx"]
    with tempfile.NamedTemporaryFile("w", suffix=".ptx") as file:
        file.write(ptx)
        file.flush()
        command = [str(PTXAS), "-v", "-arch=sm_90a", file.name, "-o", "/dev/null"]
        report = subprocess.run(command, capture_output=True, text=True, check=True).stderr
    return sum(int(count) for count in re.findall(r"(\d+) bytes spill", report))


if __name__ == "__main__":
    for function in (kernels.forward, kernels.backward_queries, kernels.backward_keys):
        for kernel in ("l1", "l2"):
            print(function.__name__, kernel, spilled_bytes(function, kernel))
