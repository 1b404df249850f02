"""A report says what the figures say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infinito.pipeline.report import find_best, judge, list_rows, write_report


def stage(add: float, copy: float, bits: float, answer: str = "x") -> dict[str, Any]:
    def score(mean: float) -> dict[str, float]:
        return {"accuracy": mean, "low": mean - 0.1, "high": mean + 0.1, "control": 0.1}

    return {
        "bits_per_byte": bits,
        "skills": {"add": score(add), "copy": score(copy)},
        "samples": {"Hi & <you>": answer},
        "preference_accuracy": 0.5,
        "minutes": 1.0,
        "cpu_minutes": 0.5,
        "peak_mib": 300.0,
    }


STAGES = {
    "pretrain": stage(0.0, 0.0, 2.0),
    "sft": stage(0.2, 0.95, 2.1),
    "dpo": stage(0.4, 0.9, 2.05, "<b>y</b>"),
}


def test_verdicts_come_from_the_figures() -> None:
    assert judge(STAGES) == [
        "After supervised tuning, 1 of 2 skills reach 0.90: copy.",
        "Not clearly above the most frequent answer: add.",
        "Preference tuning raises the mean of the skills left below 0.90: "
        "0.200 before, 0.400 after.",
        "Bits/byte on text after supervised tuning: +5.0% of those after pretraining.",
        "Bits/byte on text after preference tuning: +2.5% of those after pretraining.",
    ]


def test_it_says_when_preference_tuning_does_not_help() -> None:
    worse = {**STAGES, "dpo": stage(0.1, 0.9, 2.0)}
    assert "does not raise the mean" in judge(worse)[2]


def test_the_best_stage_is_that_of_the_highest_mean() -> None:
    assert find_best(STAGES) == "dpo"
    assert find_best({**STAGES, "dpo": stage(0.2, 0.95, 2.0)}) == "sft"


def test_both_files_show_every_stage_and_escape_what_models_write(tmp_path: Path) -> None:
    write_report(tmp_path, "mine", STAGES)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "&lt;b&gt;y&lt;/b&gt;" in page
    assert "<b>" not in page
    assert "| copy (control 0.10) | 0.00 [-0.10, 0.10] | 0.95 [0.85, 1.05] |" in text
    assert "- dpo: `<b>y</b>`" in text
    assert [name for name, _ in list_rows(STAGES)][-1] == "peak memory, MiB"
