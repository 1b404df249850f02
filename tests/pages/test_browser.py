"""Every kind of page in a browser: at three widths, light and dark, with scripts and without.

It looks for console errors, requests to any host, sideways scrolling and axe-core's serious faults.
It needs Chromium, node, and `npm install --prefix .cache/browser axe-core@4.14.1
puppeteer-core@24.43.1`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from infinito import run as program
from infinito.cli.composition import check
from infinito.pages.rendering import write_page
from infinito.pages.run_page import write_run_page
from infinito.paths import conf_dir
from infinito.sweeps.report.page import write_report
from tests.conftest import ROOT, readable
from tests.pages.test_rendering import HOSTILE, LIMIT_BYTES, page_of
from tests.rl.conftest import TINY_RL
from tests.sweeps.report.test_page import sweep

Finished = Callable[..., Path]

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MODULES = Path(os.environ.get("MODULES", ROOT / ".cache/browser/node_modules"))

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        CHROMIUM is None or not (MODULES / "axe-core").is_dir() or not shutil.which("node"),
        reason="no Chromium, or no axe-core: see the file's docstring",
    ),
]


def run_script(name: str, *arguments: str) -> Any:
    """Return what a script of this folder printed as JSON."""
    finished = subprocess.run(
        ["node", str(Path(__file__).with_name(name)), *arguments],
        env={**os.environ, "CHROMIUM": str(CHROMIUM), "MODULES": str(MODULES)},
        capture_output=True,
        text=True,
        timeout=500,
        check=True,
    )
    return json.loads(finished.stdout)


def look_at(*pages: Path) -> list[dict[str, Any]]:
    """Return what a browser found on each page in each way of looking at it."""
    found: list[dict[str, Any]] = run_script("look.mjs", "", *map(str, pages))
    assert len(found) == 12 * len(pages)
    return found


def assert_faultless(*pages: Path) -> None:
    """Check that a person can read the pages however they look at them."""
    for each in look_at(*pages):
        way = {name: each[name] for name in ("page", "width", "scheme", "scripts")}
        assert each["errors"] == [], way
        assert each["requests"] == [], way
        assert each["faults"] == [], way
        assert each["overflow"] <= 0, way
        assert each["words"] > 20, way
    assert all(page.stat().st_size <= LIMIT_BYTES for page in pages)


def test_a_fault_of_each_kind_is_found(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    page.write_text(
        "<!doctype html><body style='width:2000px'><img src='http://127.0.0.1:9/a.png'>"
        "<script>throw new Error('oops')</script>",
        encoding="utf-8",
    )
    first = look_at(page)[0]
    assert any("oops" in each for each in first["errors"])
    assert first["requests"] == ["http://127.0.0.1:9/a.png"]
    assert first["overflow"] > 1000
    assert any(each.startswith("image-alt") for each in first["faults"])


@pytest.mark.parametrize("text", [HOSTILE, "<b>" * 333_333], ids=["markup", "1e6 characters"])
def test_hostile_text(tmp_path: Path, text: str) -> None:
    page = tmp_path / "report.html"
    write_page(page, page_of(text))
    assert_faultless(page)


def test_a_training_its_evaluation_and_a_comparison(finished: Finished, tmp_path: Path) -> None:
    runs = [finished(folder=name) for name in ("first", "second")]
    place = [f"runs_dir={tmp_path}", "trainer.accelerator=cpu"]
    evaluated, compared = tmp_path / "evaluated", tmp_path / "compared"
    program.execute(
        check(["task=evaluate", f"checkpoint={runs[0]}", *place], conf_dir()), evaluated
    )
    listed = ",".join(map(str, runs))
    program.execute(check(["task=compare", f"runs=[{listed}]", place[0]], conf_dir()), compared)
    began_s = time.perf_counter()
    write_run_page(runs[0])
    took_s = time.perf_counter() - began_s
    print(f"the page of a run took {took_s:.2f} s")
    pages = (runs[0] / "report.html", evaluated / "report.html", compared / "comparison.html")
    assert_faultless(*pages)


def test_a_preference_tuning(tmp_path: Path) -> None:
    overrides = [
        *("+experiment=dpo", "trainer.epochs=null", "trainer.max_steps=4", "dpo.warmup_steps=4"),
        *("trainer.progress_bar=false", "trainer.threads=1", f"runs_dir={tmp_path}"),
    ]
    program.execute(check(overrides, conf_dir()), tmp_path / "run")
    assert_faultless(tmp_path / "run/report.html")


def test_a_schedule(text_file: Path, tmp_path: Path) -> None:
    overrides = readable([*TINY_RL, f"data.path={text_file}"], "rl_scheduler")
    program.execute(check([*overrides, f"runs_dir={tmp_path}"], conf_dir()), tmp_path / "run")
    assert_faultless(tmp_path / "run/report.html")


def test_a_sweep(tmp_path: Path) -> None:
    folder = sweep(tmp_path, 20)
    write_report(folder)
    assert_faultless(folder / "report.html")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The documentation, as it is built."""
    if find_spec("mkdocs") is None:
        pytest.skip("needs infinito[docs]")
    folder = tmp_path_factory.mktemp("site")
    build = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--site-dir",
        str(folder),
    ]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    subprocess.run(build, cwd=ROOT, env=environment, check=True)
    return folder


def test_the_documentation(site: Path) -> None:
    names = ("index", "tutorials/preferences", "how-to/clusters", "reference/configuration",
             "reference/python", "studies/base_30ep")  # fmt: skip
    assert_faultless(*(site / f"{name}.html" for name in names))


def test_the_documentation_can_be_searched_from_disk(site: Path) -> None:
    page = site / "tutorials/first-model.html"
    found = run_script("search.mjs", str(page), "cluster")
    assert "Run a search on a cluster" in found
