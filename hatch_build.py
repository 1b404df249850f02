"""Compiles the fused CPU attention into the wheel, where there is a compiler.

The library serves CPUs like the one that builds; on others, and without it, the first use compiles
(`infinito/attention/backends/kernel_build.py`).
"""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class KernelHook(BuildHookInterface[Any]):
    """Adds the compiled kernel to a wheel, which is then one of this platform."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compiles before the wheel is put together; an editable install compiles on first use."""
        if self.target_name != "wheel" or version == "editable":
            return
        self.scratch = tempfile.TemporaryDirectory()  # goes with this object, after the packing
        root = Path(self.root)
        sys.path.insert(0, str(root))
        source = root / "infinito/attention/backends/kernel_build.py"
        spec = importlib.util.spec_from_file_location("kernel_build", source)
        assert spec is not None
        assert spec.loader is not None
        kernel_build = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(kernel_build)
        try:
            library = kernel_build.build_kernel(Path(self.scratch.name))
        except kernel_build.DeviceError as error:
            self.app.display_warning(f"the wheel has no compiled kernel: {error}")
            return
        place = kernel_build.SHIPPED.relative_to(root) / library.name
        build_data["force_include"][str(library)] = str(place)
        build_data["pure_python"] = False
        build_data["infer_tag"] = True
