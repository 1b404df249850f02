"""What many tests share: the data beside the checkout, a small text, and runs of the program."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from infinito import run as program
from infinito.cli.composition import check
from infinito.cli.read_by import find_reading, unread
from infinito.config import RunConf
from infinito.paths import conf_dir

if not Path("/dev/nvidia0").exists():
    os.environ.setdefault("TRITON_INTERPRET", "1")  # read when torch first imports triton

ROOT = Path(__file__).resolve().parent.parent

TINY = (
    "model.dim=16",
    "model.layers=1",
    "attention=dot",
    "attention.heads=2",
    "data=text",
    "tokenizer=char",
    "data.block_size=16",
    "data.batch_size=4",
    "trainer.epochs=null",
    "trainer.max_steps=6",
    "trainer.validate_every=3",
    "trainer.log_every=1",
    "trainer.accelerator=cpu",
    "trainer.threads=1",
    "trainer.progress_bar=false",
    "trainer.sample_tokens=8",
)
"""Overrides of a training that takes a moment."""


def readable(overrides: Sequence[str], row: str) -> list[str]:
    """Leave out the overrides that a task refuses because it does not read them."""
    return [each for each in overrides if not unread(row, each.partition("=")[0], {})]


def row_of(overrides: Sequence[str]) -> str:
    """Return the row of `READ_BY` of a command, as far as its overrides tell."""
    given = dict(text.lstrip("+").split("=", 1) for text in overrides)
    experiment = given.get("experiment", "")
    default = "rl_scheduler" if "rl" in experiment else "dpo" if "dpo" in experiment else "train"
    values = {
        "task": given.get("task", default),
        "checkpoint": given.get("checkpoint"),
        "agent": given.get("agent"),
        "model": {"name": given.get("model")},
    }
    return find_reading(values, None)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("no ../shared/data beside the checkout")
    return folder


@pytest.fixture(scope="session")
def text_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few kilobytes of text with some structure."""
    path = tmp_path_factory.mktemp("text") / "rhymes.txt"
    lines = [f"line {n} has {n * n} sheep and {n % 7} dogs.\n" for n in range(200)]
    path.write_text("".join(lines), encoding="utf-8")
    return path


@pytest.fixture(scope="session")
def docs_cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the text of Python's documentation is kept, extracted once for all tests.

    Processes of pytest-xdist share it; the cache itself locks out a second writer.
    """
    base = tmp_path_factory.getbasetemp()
    return (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "docs_cache"


@pytest.fixture(autouse=True)
def keep_arithmetic() -> Iterator[None]:
    """Undoes what a command sets for its process: denormals to zero, products in bfloat16."""
    yield
    if "torch" in sys.modules:
        sys.modules["torch"].set_flush_denormal(False)
        sys.modules["torch"].set_float32_matmul_precision("highest")


@pytest.fixture
def configured(text_file: Path, tmp_path: Path) -> Callable[..., RunConf]:
    """Makes the configuration of a tiny training; later overrides win."""

    def make(*overrides: str) -> RunConf:
        fixed = [f"data.path={text_file}", f"data.cache_dir={tmp_path / 'cache'}"]
        usual = readable([*TINY, *fixed], row_of(overrides))
        return check([*usual, f"runs_dir={tmp_path / 'runs'}", *overrides], conf_dir())

    return make


@pytest.fixture
def reading(tmp_path: Path) -> Callable[..., RunConf]:
    """Makes the configuration of a task that reads a trained model."""

    def make(*overrides: str) -> RunConf:
        fixed = ["trainer.accelerator=cpu", f"data.cache_dir={tmp_path / 'cache'}"]
        usual = readable(fixed, row_of(overrides))
        return check([*usual, f"runs_dir={tmp_path / 'runs'}", *overrides], conf_dir())

    return make


@pytest.fixture
def trained(configured: Callable[..., RunConf], tmp_path: Path) -> Callable[..., Path]:
    """Trains a tiny model in this process and returns the run folder."""

    def train(*overrides: str, folder: str = "run") -> Path:
        program.execute(configured(*overrides), tmp_path / folder)
        return tmp_path / folder

    return train


@pytest.fixture(scope="session")
def runs_of_session() -> dict[tuple[str, ...], Path]:
    """Run folders of trainings that several tests read, by their overrides."""
    return {}


@pytest.fixture
def finished(
    configured: Callable[..., RunConf],
    runs_of_session: dict[tuple[str, ...], Path],
    tmp_path: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Callable[..., Path]:
    """Returns a copy of the run folder of a training, which trains once in the session.

    For tests of what comes after a training; `trained` is for tests of the training itself.
    """

    def copy(*overrides: str, folder: str = "run") -> Path:
        key = (configured.__module__, *overrides)
        if key not in runs_of_session:
            root = tmp_path_factory.mktemp("finished")
            places = (f"data.cache_dir={root / 'cache'}", f"runs_dir={root / 'runs'}")
            program.execute(configured(*places, *overrides), root / "run")
            runs_of_session[key] = root / "run"
        return shutil.copytree(runs_of_session[key], tmp_path / folder)

    return copy


@pytest.fixture
def command(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Runs `python -m infinito.run` in an empty folder, in a process of its own."""

    def call(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}
        return subprocess.run(
            [sys.executable, "-m", "infinito.run", *arguments],
            cwd=tmp_path,
            env=environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return call


@pytest.fixture(scope="session")
def gpt2_folder(text_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of a tiny GPT-2 with random weights and a tokenizer of 300 tokens."""
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from infinito.data.tokenizers import BpeTokenizer

    folder = tmp_path_factory.mktemp("models") / "gpt2"
    torch.manual_seed(0)
    config = GPT2Config(
        n_embd=16,
        n_layer=2,
        n_head=2,
        n_positions=64,
        vocab_size=300,
        bos_token_id=0,
        eos_token_id=0,
        initializer_range=0.2,
    )
    GPT2LMHeadModel(config).save_pretrained(folder)
    text = text_file.read_text(encoding="utf-8")
    BpeTokenizer(300).build([text], separates_documents=False).save_pretrained(folder)
    return folder


@pytest.fixture
def closed_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    """The hub's address is a port of this machine on which nothing listens."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
