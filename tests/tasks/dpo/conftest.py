"""Small preference tunings, and what they read and write."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infinito import run as program
from infinito.cli.composition import check
from infinito.config import RunConf
from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.paths import conf_dir
from tests.conftest import readable, row_of
from tests.preferences.pair_models import make

SMALL = (
    "+experiment=dpo",
    "data.block_size=200",
    "dpo.warmup_steps=4",
    "dpo.answers=2",
    "generation.max_new_tokens=4",
    "trainer.epochs=2",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.progress_bar=false",
)
NEW = ("model.dim=16", "model.layers=1", "attention.heads=2", "tokenizer.vocab_size=300")
Tune = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where all runs of a module keep what their references say."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def small(cache: Path) -> Callable[..., RunConf]:
    """Makes the configuration of a small preference tuning; later overrides win."""

    def make(*overrides: str) -> RunConf:
        sizes = () if "model=pretrained" in overrides else NEW
        usual = readable([*SMALL, *sizes], row_of([*SMALL, *overrides]))
        return check([*usual, f"data.cache_dir={cache}", *overrides], conf_dir())

    return make


@pytest.fixture
def tune(small: Callable[..., RunConf], tmp_path: Path) -> Tune:
    """Runs a small preference tuning and returns its report."""

    def run(*overrides: str, folder: str = "run") -> dict[str, Any]:
        program.execute(small(*overrides), tmp_path / folder)
        return report_in(tmp_path / folder)

    return run


def report_in(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "training_report.json").read_text())


def written(path: Path, *rows: tuple[str, str, str]) -> Path:
    """Pairs of text as JSON lines."""
    names = ("prompt", "chosen", "rejected")
    path.write_text("".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows))
    return path


def saved(folder: Path, name: str, **changes: Any) -> Path:
    """A toy model of `tests.preferences.pair_models` that reads bytes."""
    make(name, vocab_size=257, **changes).save_pretrained(folder)
    BpeTokenizer(257).build([], separates_documents=True).save_pretrained(folder)
    return folder
