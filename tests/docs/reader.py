"""A reader who types what the pages say, in a folder with texts, pairs, models and earlier runs.

Each command runs in a process of its own that has torch loaded already, with fewer steps and a
smaller model than the page's.
"""

from __future__ import annotations

import argparse
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from pathlib import Path
from typing import Any

from infinito.cli import composition
from infinito.cli.command_line import split_flags, tidy_override
from infinito.cli.read_by import find_reading, unread
from infinito.config import RunConf
from infinito.paths import conf_dir
from infinito.run_folder.folder import find_run_folder, saved_values
from infinito.sweeps.record import history, journal
from infinito.sweeps.record.plan import JOURNAL
from tests.docs.reading import PLACEHOLDER, find_arguments
from tests.ranks import CONTEXT

ENOUGH_S = 600.0

STEPS = (
    "trainer.epochs=null", "trainer.max_steps=6", "trainer.validate_every=3",
    "trainer.sample_tokens=8", "optimizer.warmup_steps=0",
    "optimizer.schedule=cosine", "trainer.accelerator=cpu", "trainer.threads=1",
    "dpo.warmup_steps=3", "generation.max_new_tokens=8", "data.items=60", "data.held_out_items=20",
    "data.max_bytes=300000", "hydra.sweeper.n_trials=3", "hydra.sweeper.confirm=2", "serve.port=0",
)  # fmt: skip
SIZES = (
    "model.dim=16", "model.layers=1", "attention.heads=2", "data.batch_size=4",
    "data.block_size=64", "tokenizer.vocab_size=300",
)  # fmt: skip
SCHEDULE = (
    "rl.base_steps=5", "rl.base_batch_size=4", "rl.start_states=4", "rl.start_state_steps=8",
    "rl.inner_steps=2", "rl.probe_windows=3", "rl.phi_sequences=2", "rl.max_steps=4",
    "rl.n_envs=3", "rl.n_steps=5", "rl.batch_size=5", "rl.n_epochs=2", "rl.net_arch=[8]",
    "rl.total_timesteps=45", "rl.validate_every=15", "rl.validation_episodes=4",
    "rl.save_freq=15", "rl.episodes=6",
)  # fmt: skip
STAGES = (
    "pretrain:trainer.max_steps=4", "pretrain:trainer.validate_every=2", "pretrain:model.dim=32",
    "pretrain:model.layers=1", "pretrain:data.max_bytes=30000",
    "pretrain:optimizer.warmup_steps=0", "sft:optimizer.warmup_steps=0",
    "sft:data.skills=[count]", "sft:data.items=60", "sft:data.held_out_items=20",
    "sft:trainer.max_steps=60", "sft:trainer.validate_every=30", "dpo:trainer.max_steps=3",
)  # fmt: skip


LENGTHS = {
    "trainer.minutes": "trainer.minutes=0.3",
    "trainer.max_steps": "trainer.max_steps=12",
    "hydra.sweeper.n_trials": "hydra.sweeper.n_trials=3",
    "hydra.sweeper.fidelity_smallest": "hydra.sweeper.fidelity_smallest=2",
}
"""What stands for lengths that a page types."""

RESUME = "hydra.sweeper.resume="


@dataclass
class Reader:
    """A folder in which commands are typed.

    Attributes:
        folder: Where.
        filled: What stands for each placeholder.
        environment: Variables of every command.
        settings: Attributes of modules to set in a command's process, by dotted name.
    """

    folder: Path
    filled: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)

    def fill(self, command: str) -> str:
        """Return a command with files of the folder in place of its placeholders."""
        here = command.replace("/shared/", f"{self.folder}/shared/")  # what all machines see
        return PLACEHOLDER.sub(lambda found: self.filled[found[0]], here)

    def shorten(self, arguments: Sequence[str]) -> list[str]:
        """Return the arguments of infinito with those that make it short; raise what is wrong."""
        flags, overrides = split_flags(arguments, argparse.ArgumentParser())
        is_sweep = "-m" in flags
        tidied = [tidy_override(each, is_sweep) for each in overrides]
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            conf = composition.check(tidied, conf_dir(), sweep=is_sweep)
            kept = [LENGTHS.get(each.partition("=")[0], each) for each in overrides]
            return [*flags, *kept, *list_shortenings(conf, overrides, is_sweep)]
        finally:
            os.chdir(before)

    def type(self, command: str, given: str = "") -> str:
        """Run a command of infinito, with lines for its standard input; return what it printed."""
        filled = self.fill(command)
        arguments = find_arguments(filled)
        assert arguments is not None
        words = arguments if "--help" in arguments else self.shorten(arguments)
        if "torchrun" in filled or {"trainer=ddp", "trainer=fsdp"} & set(arguments):
            start = shlex.split(filled)[: -len(arguments)]
            return self.call([*resolve(start), *words])
        (self.folder / "input").write_text(given)
        process = CONTEXT.Process(
            target=_run, args=(words, self.folder, self.environment, self.settings)
        )
        process.start()
        process.join(ENOUGH_S)
        printed = (self.folder / "output").read_text()
        if process.is_alive():
            process.kill()
        assert process.exitcode == 0, f"{command}\n{words}\nexit {process.exitcode}\n{printed}"
        return printed

    def call(self, words: Sequence[str] | str) -> str:
        """Run a command of any program, or a line of a shell; return what it printed."""
        finished = subprocess.run(
            words,
            cwd=self.folder,
            env={**os.environ, **self.environment},
            shell=isinstance(words, str),
            capture_output=True,
            text=True,
            timeout=ENOUGH_S,
        )
        printed = finished.stdout + finished.stderr
        assert finished.returncode == 0, f"{words}\nexit {finished.returncode}\n{printed}"
        return printed


def resolve(start: Sequence[str]) -> list[str]:
    """Return the words before the arguments of infinito, by this interpreter."""
    if start[0] == "torchrun":
        return [sys.executable, "-m", "torch.distributed.run", *start[1:]]
    return [sys.executable, "-m", "infinito.run"]


def list_shortenings(conf: RunConf, typed: Sequence[str], is_sweep: bool) -> list[str]:
    """Return the overrides that a command reads, that it did not type, and that make it short."""
    given = {each.lstrip("+").partition("=")[0] for each in typed}
    if conf.task == "pipeline":
        return [f"stage_overrides={list(STAGES)}", "trainer.threads=1", "trainer.accelerator=cpu"]
    if conf.resume is not None:
        return []
    resumed = [each.partition("=")[2] for each in typed if each.startswith(RESUME)]
    if resumed:
        return [each for each in list_begun(Path(resumed[0])) if each not in typed]
    values = {
        "task": conf.task,
        "checkpoint": conf.checkpoint,
        "agent": conf.agent,
        "model": {"name": conf.model.name},
        "data": {"name": conf.data.name},
    }
    run = find_run_folder(Path(conf.checkpoint)) if conf.checkpoint else None
    row = find_reading(values, saved_values(run) if run else None)
    searched = is_sweep and any("search=" in each or "interval" in each for each in typed)
    sizes = () if searched else SIZES
    left_out = {*given, *list_unfit(conf)}
    if "trainer.minutes" in given:
        left_out |= {"trainer.max_steps", "trainer.epochs"}
    found = []
    for each in (*STEPS, *sizes, *SCHEDULE):
        key = each.partition("=")[0]
        if key.startswith("hydra."):
            if searched and "mcts" in " ".join(typed) and key not in given:
                found.append(each)
        elif key not in left_out and not unread(row, key, {}) and has(conf, key):
            found.append(each)
    return found


def list_begun(sweep: Path) -> list[str]:
    """Return the overrides with which a sweep was begun."""
    plan = history.read_plan(journal.read(sweep / JOURNAL))
    assert plan is not None
    return list(plan["overrides"])


def list_unfit(conf: RunConf) -> set[str]:
    """Return the sizes that a command cannot change."""
    unfit = set[str]()
    is_conversations = conf.data.name in {"pairs", "chat", "skills"}
    is_pretrained = conf.model.name == "pretrained"
    goes_on = conf.task == "train" and not is_conversations and not is_pretrained
    if conf.checkpoint is not None and not goes_on:  # a training begins as the run did
        unfit |= {"model.dim", "model.layers", "attention.heads", "tokenizer.vocab_size"}
    if is_pretrained:
        unfit |= {"attention.heads"}
    if conf.task == "rl_scheduler" or is_conversations:
        unfit |= {"data.block_size"}
    return unfit


def has(conf: RunConf, key: str) -> bool:
    """Return whether a configuration has a key, by the options that it chose."""
    try:
        reduce(getattr, key.split("."), conf)
    except AttributeError:
        return False
    return True


def _run(
    words: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    settings: Mapping[str, Any],
) -> None:
    import importlib

    from infinito import run as program

    os.chdir(folder)
    os.environ |= {"OMP_NUM_THREADS": "1", "COLUMNS": "200", **environment}
    for name, flags, number in (("input", os.O_RDONLY, 0), ("output", os.O_WRONLY, 1)):
        os.dup2(os.open(name, flags | (os.O_CREAT | os.O_TRUNC if number else 0)), number)
    os.dup2(1, 2)
    sys.stdin = os.fdopen(0, closefd=False)
    for name, value in settings.items():
        module, _, attribute = name.rpartition(".")
        setattr(importlib.import_module(module), attribute, value)
    sys.argv = ["infinito", *words]
    program.main()
