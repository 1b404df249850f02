"""Every file of conf/ composes, and every experiment trains a few steps."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import pytest

from infinito import run as program
from infinito.cli.composition import check
from infinito.config import RENAMED_KEYS, RunConf, is_renamed
from infinito.errors import ConfigError
from infinito.extras import EXTRAS
from infinito.paths import conf_dir
from infinito.tasks.list import first_comment

EXPERIMENTS = sorted(path.stem for path in (conf_dir() / "experiment").glob("*.yaml"))
OPTIONS = [
    (path.parent.name, path.stem)
    for path in sorted(conf_dir().glob("*/*.yaml"))
    if path.parent.name not in ("experiment", "search")
]
NEEDED = {
    "data/text": ["data.path=x"],
    "data/hub": ["data.path=x"],
    "data/mixture": ["data.paths=[x,y]"],
    "data/pairs": ["task=dpo"],
    "tokenizer/pretrained": ["tokenizer.path=x"],
    "tokenizer/own": ["model=gpt2"],
    "attention/own": ["model=gpt2"],
    "model/pretrained": ["model.path=x"],
    "rl/default": ["task=rl_scheduler"],
    "experiment/shakespeare_char": ["data.path=x"],
}
RL = tuple(name for name in EXPERIMENTS if name.startswith("rl_"))
CHAT = ("sft", *(name for name in EXPERIMENTS if name.startswith("chat_")))
ELSEWHERE = ("reproducibility", "base_gpt2_lora", "dpo", "dpo_qwen_05b", *RL, *CHAT)
"""Experiments whose training has a test of its own."""
SHORT = (
    "trainer.max_steps=2",
    "trainer.validate_every=2",
    "optimizer.warmup_steps=0",
    "model.dim=16",
    "model.layers=1",
    "attention.heads=2",
    "data.block_size=16",
    "data.batch_size=2",
    "trainer.sample_tokens=4",
    "trainer.progress_bar=false",
    "trainer.threads=1",
)


@pytest.mark.parametrize(("group", "option"), OPTIONS)
def test_every_option_composes(group: str, option: str) -> None:
    overrides = [f"{group}={option}", *NEEDED.get(f"{group}/{option}", [])]
    if group == "logger" and option in EXTRAS and find_spec(option) is None:
        with pytest.raises(ConfigError, match=rf"pip install 'infinito\[{option}\]'"):
            check(overrides, conf_dir())
        return
    check(overrides, conf_dir())


@pytest.mark.parametrize("path", sorted(conf_dir().glob("*/*.yaml")), ids=lambda path: path.stem)
def test_every_file_says_what_it_is_and_runs_no_code(path: Path) -> None:
    assert first_comment(path)
    assert "_target_" not in path.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_experiment_is_a_short_delta_with_its_question(name: str) -> None:
    path = conf_dir() / "experiment" / f"{name}.yaml"
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 40
    check([f"+experiment={name}", *NEEDED.get(f"experiment/{name}", [])], conf_dir())


def present_name(override: str) -> str:
    """Return an override of an earlier version with the key's present name."""
    key, _, value = override.partition("=")
    section, _, name = key.rpartition(".")
    return f"{section}.{RENAMED_KEYS[section][name]}={value}" if is_renamed(key) else override


def test_the_schedule_of_text_is_the_one_that_was_studied() -> None:
    study = Path(__file__).parents[1] / "experiments/rl_scheduler/low_variance"
    seed = json.loads((study / "seeds/0.json").read_text(encoding="utf-8"))
    assert check(["+experiment=rl_scheduler_text"], conf_dir()).rl == (
        check([present_name(each) for each in seed["overrides"]], conf_dir()).rl
    )


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if name not in ELSEWHERE])
def test_every_experiment_trains(
    name: str, text_file: Path, docs_cache: Path, tmp_path: Path
) -> None:
    cached = [] if name == "sft" else [f"data.cache_dir={docs_cache}"]
    overrides = [f"+experiment={name}", *SHORT, *cached]
    for split in ("train", "valid"):
        shutil.copy(text_file, tmp_path / f"{split}.txt")
    short_docs = ["data.parts=topics", "data.max_bytes=150000", "tokenizer.vocab_size=300"]
    texts = {
        "shakespeare_char": [f"data.path={text_file}"],
        "wikitext2_word": [f"data.path={tmp_path}"],
        "base_v52": [*short_docs, "model.memory.segment=8"],
        "markov": ["data.train_tokens=9999", "data.valid_tokens=999"],
        "sft": ["tokenizer.vocab_size=300", "data.block_size=128"],
    }
    overrides += texts.get(name, short_docs)
    score = program.execute(check(overrides, conf_dir()), tmp_path / "run")
    summary = json.loads((tmp_path / "run/summary.json").read_text())
    assert score == summary["val/loss"] > 0
    assert summary["steps"] == 2


def test_equal_seeds_are_equal_bits_in_two_processes(
    configured: Callable[..., RunConf], tmp_path: Path
) -> None:
    run = configured("task=reproducibility", "model.dropout=0.1")
    program.execute(run, tmp_path / "check")
    report = json.loads((tmp_path / "check/reproducibility.json").read_text())
    assert report["same seed, equal weights"]
    assert report["other seed, other weights"]
    assert report["runs"][0]["losses"] == 8
