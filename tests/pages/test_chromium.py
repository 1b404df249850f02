"""A browser opens a page: every plot is drawn, nothing is asked of any host, nothing complains."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from infinito.pages.rendering import write_page
from tests.pages.test_rendering import HOSTILE, page_of

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.mark.skipif(BROWSER is None, reason="no chromium on this machine")
def test_a_browser_draws_every_plot_and_runs_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    write_page(page, page_of(HOSTILE))
    options = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
    finished = subprocess.run(
        [
            str(BROWSER),
            *options,
            "--enable-logging=stderr",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=5000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    shown = re.sub(r"<script.*?</script>", "", finished.stdout, flags=re.DOTALL)
    assert shown.count('class="live"') == 1  # the plot in the folded section waits to be seen
    assert re.search(r'class="chart".*?<svg', shown, re.DOTALL)
    assert "CONSOLE" not in finished.stderr
