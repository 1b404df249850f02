"""`task=pipeline`: pretraining, supervised tuning and preference tuning, measured after each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from infinito.config import RunConf, SkillsConf
from infinito.data.conversations.skills.generator import draw_items
from infinito.errors import DataError
from infinito.pipeline.measuring import measure_preferences, measure_stage, open_answering
from infinito.pipeline.own_pairs import make_pairs, write_pairs
from infinito.pipeline.report import find_best, list_rows, write_report
from infinito.pipeline.stages import Stage, list_inherited, list_own, read_cost, run_stage
from infinito.run_folder.commands import build_command, format_text
from infinito.run_folder.console import logged_to
from infinito.run_folder.folder import in_use, record_config
from infinito.run_folder.pins import with_absolute_paths
from infinito.run_folder.records import write_json
from infinito.run_folder.tables import print_next, print_table
from infinito.seeding import child_seed

STAGES = {"pretrain": "chat_pretrain", "sft": "chat_skills", "dpo": "chat_preferences"}
"""The experiment of each stage, by its name, which is the name of its folder too."""

TEXT_ROWS = 1
"""Windows of the first stage's text in each batch of the second, which would lose it otherwise."""

QUESTIONS = 100
"""Questions of each skill from whose answers pairs are made."""

HELD_OUT_PAIRS = 5
"""One pair in so many is held out."""

ANSWER_TOKENS = 24
"""Longest answer in a pair."""

FEWEST_PAIRS = 10
"""Pairs below which preference tuning has nothing to learn from."""


def run(conf: RunConf, folder: Path, overrides: Sequence[str]) -> None:
    """Run the stages that are not finished, and write report.md, report.html and report.json.

    Raises:
        InfinitoError: a stage failed or was stopped; `resume=<folder>` goes on with it.
    """
    console = Console()
    with in_use(folder):
        if conf.resume is None:
            record_config(folder, with_absolute_paths(asdict(conf)), overrides)
        with logged_to(folder / "run.log"):
            _run(conf, folder, console)


def _run(conf: RunConf, folder: Path, console: Console) -> None:
    stages = {name: Stage(name, chosen, folder / name) for name, chosen in STAGES.items()}
    pretrain, sft, dpo = stages.values()
    pairs = folder / "own_pairs.jsonl", folder / "own_pairs_held_out.jsonl"
    steps: list[tuple[Stage, list[str]]] = [
        (pretrain, []),
        (sft, [_start(pretrain), f"data.text_rows={TEXT_ROWS}"]),
        (
            dpo,
            [
                _start(sft),
                f"data.path={format_text(pairs[0].absolute())}",
                f"data.held_out_path={format_text(pairs[1].absolute())}",
            ],
        ),
    ]
    for stage, own in steps:
        console.rule(stage.name)
        if stage is dpo and not all(each.is_file() for each in pairs):
            with console.status("asking for answers, right and wrong"):
                _write_own_pairs(conf, sft, pairs)
        run_stage(stage, [*list_inherited(conf), *own, *list_own(conf, stage.name)])
    found: dict[str, dict[str, Any]] = {}
    for name, stage in stages.items():
        with console.status(f"measuring {name}"):
            found[name] = _measure(conf, stage, stages, pairs[1])
    verdicts = write_report(folder, conf.name, found)
    write_json(folder / "report.json", {"stages": found, "verdicts": verdicts})
    console.rule("report")
    lines = {name: "   ".join(values) for name, values in list_rows(found)}
    print_table(console, "   ".join(found), lines)
    for each in verdicts:
        console.print(each, highlight=False)
    console.print(f"\nwritten to {folder / 'report.html'}", markup=False, highlight=False)
    best = stages[find_best(found)].folder
    print_next(console, [(build_command({"task": "chat", "checkpoint": best}), "talk to the best")])


def _start(stage: Stage) -> str:
    return f"checkpoint={format_text(stage.folder.absolute())}"


def _write_own_pairs(conf: RunConf, sft: Stage, paths: tuple[Path, Path]) -> None:
    """Write pairs of the tuned model's own answers to training questions that it has not seen."""
    trained, tuned, encode = open_answering(sft.folder, conf)
    data = tuned.data
    assert isinstance(data, SkillsConf)
    items = draw_items(data.skills, QUESTIONS, data.item_seed + 1, held_out=False)
    seed = child_seed(conf.seed, "own pairs")
    rows = make_pairs(trained.model, encode, items, ANSWER_TOKENS, seed)
    held_out, training = (
        rows[::HELD_OUT_PAIRS],
        [row for number, row in enumerate(rows) if number % HELD_OUT_PAIRS],
    )
    if len(rows) < FEWEST_PAIRS:
        raise DataError(
            f"the model answered only {len(rows)} of {len(items)} questions both right and wrong, "
            f"too few to tune on. Train it longer: "
            "`'stage_overrides=[\"sft:trainer.max_steps=5000\"]'` in a new run"
        )
    write_pairs(paths[0], training)
    write_pairs(paths[1], held_out)


def _measure(
    conf: RunConf, stage: Stage, stages: dict[str, Stage], held_out: Path
) -> dict[str, Any]:
    """Return what was measured after a stage, from its file if it was measured before."""
    path = stage.folder.with_name(f"{stage.name}_measured.json")
    if path.is_file():
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return found
    pretrain, sft, dpo = (each.folder for each in stages.values())
    found = measure_stage(stage.folder, pretrain, sft, conf)
    found["preference_accuracy"] = measure_preferences(stage.folder, dpo, held_out)
    found |= asdict(read_cost(stage))
    write_json(path, found)
    return found
