"""Trackio reads where its databases lie when it is imported, so this comes before the tests."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile

os.environ["TRACKIO_DIR"] = tempfile.mkdtemp(prefix="trackio_")
atexit.register(shutil.rmtree, os.environ["TRACKIO_DIR"], ignore_errors=True)
