"""Every import is declared, the base runs without extras, and errors name the one to install."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import infinito
from infinito.errors import MissingExtraError
from infinito.extras import EXTRAS, require_extra

PACKAGE = Path(infinito.__file__).parent
PROJECT = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text(encoding="utf-8"))["project"]

DISTRIBUTIONS = {"PIL": "pillow", "yaml": "pyyaml", "hydra": "hydra_core"}
"""Where a package is installed under another name."""

GUARDED = {"joblib", "lm_eval", "ray", "triton"}
"""Imported where they are sure to be there: joblib where it is the launcher, lm_eval where its task
has required it, Ray where its launcher has joined a cluster, triton, which comes with torch on some
platforms, after a look."""

BLOCKED = """
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in {packages}:
            raise ModuleNotFoundError(f'No module named {{name!r}}', name=name)
import importlib.util
looked_up = importlib.util.find_spec
importlib.util.find_spec = lambda name, package=None: (
    None if name.partition('.')[0] in {packages} else looked_up(name, package)
)
sys.meta_path.insert(0, Blocked())
"""


DASHBOARDS = {"wandb", "mlflow", "trackio"}
"""Extras that `all` leaves out: only their users need them, and two take 60 MB and more."""


def distribution(requirement: str) -> str:
    return re.split(r"[<>=\[ ]", requirement)[0].replace("-", "_").lower()


def imports(path: Path) -> Iterator[tuple[str, str]]:
    """The outside packages that a file imports, each with the extra that is required before."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    required = {
        str(node.args[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "require_extra"
        and isinstance(node.args[0], ast.Constant)
    }
    for wing, extra in (("rl", "rl"), ("serving", "serve")):
        if PACKAGE / wing in path.parents:
            required.add(extra)
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [str(node.module)]
        for name in names:
            package = name.partition(".")[0]
            if package not in sys.stdlib_module_names | {"infinito"} | GUARDED:
                given = [extra for extra in required if package in EXTRAS.get(extra, ())]
                yield package, given[0] if given else ""


def test_every_import_is_declared_where_it_is_installed_from() -> None:
    base = {distribution(each) for each in PROJECT["dependencies"]}
    undeclared = set()
    for path in PACKAGE.rglob("*.py"):
        for package, extra in imports(path):
            name = DISTRIBUTIONS.get(package, package).lower()
            if name not in base and not extra:
                undeclared.add(f"{path.relative_to(PACKAGE)} imports {package}")
    assert not undeclared, "\n".join(sorted(undeclared))


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_installs_what_it_is_said_to(extra: str) -> None:
    installed = {distribution(each) for each in PROJECT["optional-dependencies"][extra]}
    assert installed == {DISTRIBUTIONS.get(each, each) for each in EXTRAS[extra]}


def test_all_and_the_set_up_hold_every_extra() -> None:
    (everything,) = PROJECT["optional-dependencies"]["all"]
    nested = set(re.findall(r"\w+", everything)) - {"infinito"} | {"datasets", "lora"}
    left_out = {"all", "dev", "docs"} | DASHBOARDS
    assert nested == set(PROJECT["optional-dependencies"]) - left_out
    assert "infinito[all,docs]" in PROJECT["optional-dependencies"]["dev"]


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_absent_extra_is_named(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if extra not in DASHBOARDS:
        require_extra(extra)
    monkeypatch.setitem(sys.modules, EXTRAS[extra][0], None)
    with pytest.raises(MissingExtraError, match=rf"`pip install 'infinito\[{extra}\]'`"):
        require_extra(extra)


def run_without(packages: set[str], code: str) -> str:
    """What a fresh process prints in which these packages are not installed."""
    blocked = BLOCKED.format(packages=sorted(packages))
    finished = subprocess.run(
        [sys.executable, "-c", blocked + code], capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


def test_tasks_open_without_extras_unless_they_are_about_one() -> None:
    absent = {package for packages in EXTRAS.values() for package in packages} | {"trl"}
    code = (
        "import importlib\n"
        "from infinito.config import TASKS\n"
        "from infinito.errors import MissingExtraError\n"
        "for task in TASKS:\n"
        "    try:\n        importlib.import_module(f'infinito.tasks.{task}')\n"
        "    except MissingExtraError as error:\n        print(task, error)\n"
    )
    lines = run_without(absent, code).splitlines()
    assert [line.split()[0] for line in lines] == ["serve", "rl_scheduler"]
    assert [line.rpartition("[")[2] for line in lines] == ["serve]'`", "rl]'`"]


def test_attention_needs_torch_alone() -> None:
    declared = [*PROJECT["dependencies"], *(each for name in EXTRAS for each in EXTRAS[name])]
    absent = {distribution(each) for each in declared} - {"torch", "numpy", "jinja2", "filelock"}
    code = (
        "import torch\n"
        "from infinito.attention import distance_attention\n"
        "q, k, v = torch.randn(3, 1, 2, 5, 4)\n"
        "print(tuple(distance_attention(q, k, v, metric='l1').shape))\n"
    )
    absent |= {"hydra", "PIL"}
    assert run_without(absent, code) == "(1, 2, 5, 4)\n"
