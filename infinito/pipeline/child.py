"""Runs one command of infinito in a process that ends when its parent does.

    python -m infinito.pipeline.child <descriptor> <arguments of infinito>

The descriptor is the reading end of a pipe of which the parent holds the other end.
"""

from __future__ import annotations

import os
import runpy
import sys
import threading


def end_with_parent(descriptor: int) -> None:
    """Wait until the pipe closes, then end this process at once: its checkpoints are whole."""
    os.read(descriptor, 1)
    os._exit(1)


def main() -> None:
    """Watch the parent, and run the command."""
    descriptor = int(sys.argv.pop(1))
    threading.Thread(target=end_with_parent, args=(descriptor,), daemon=True).start()
    runpy.run_module("infinito.run", run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
