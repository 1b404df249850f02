"""Scoring alone: any model, any pairs, figures that follow from log-probabilities."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from rich.console import Console
from transformers import AutoModelForCausalLM, AutoTokenizer

from infinito import run as program
from infinito.cli.composition import check
from infinito.data.tokenizers.bpe import BpeTokenizer
from infinito.errors import CheckpointError, ConfigError
from infinito.paths import conf_dir
from infinito.preferences.scoring.scored_pairs import build_score_report
from infinito.tasks.score_pairs import print_scores
from tests.preferences.pair_models import make
from tests.preferences.scoring.test_figures import scores

ROWS = [
    {"prompt": "Once upon a time there was", "chosen": " a little girl", "rejected": " xq zzk"},
    {"prompt": "One day, Tim", "chosen": " qqv", "rejected": " went to the park"},
]


def scored(
    tmp_path: Path, model: Path, *overrides: str, rows: list[dict[str, str]] = ROWS
) -> dict[str, Any]:
    path = tmp_path / "pairs.jsonl"
    categorised = [{**row, "category": "good" if n == 0 else "bad"} for n, row in enumerate(rows)]
    path.write_text("".join(json.dumps(row) + "\n" for row in categorised))
    fixed = ["task=score_pairs", "data=pairs", "data.chat=false", f"data.path={path}"]
    fixed += [f"checkpoint={model}", "trainer.accelerator=cpu", *overrides]
    program.execute(check(fixed, conf_dir()), tmp_path / f"run{len(rows)}")
    return json.loads((tmp_path / f"run{len(rows)}/pair_scores.json").read_text())


def test_rewards_are_beta_times_log_probabilities(shared_data: Path, tmp_path: Path) -> None:
    """Against a plain loop over tokens; a real story model knows the first pair from noise."""
    folder = shared_data / "stories260k/hf"
    report = scored(tmp_path, folder, "dpo.beta=0.5")
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    tokenizer = AutoTokenizer.from_pretrained(folder)
    for row, pair in zip(ROWS, report["pairs"], strict=True):
        for side in ("chosen", "rejected"):
            start = len(tokenizer(row["prompt"])["input_ids"])
            ids = tokenizer(row["prompt"] + row[side])["input_ids"] + [tokenizer.eos_token_id]
            with torch.no_grad():
                logs = model(torch.tensor([ids])).logits[0].double().log_softmax(-1)
            total = sum(float(logs[at - 1, ids[at]]) for at in range(start, len(ids)))
            assert pair[f"reward_{side}"] == pytest.approx(0.5 * total, abs=1e-3)
    assert report["by_category"]["good"]["accuracy"]["share"] == 1
    assert report["by_category"]["bad"]["accuracy"]["share"] == 0
    assert report["overall"]["accuracy"]["share"] == 0.5
    assert report["reference"] is None
    assert report["displacement"] is None


def test_brackets_of_a_category_are_printed_as_they_stand(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = {"source": "pairs[new].jsonl", **build_score_report(scores([1.0, 2.0]), 0.1, False)}
    report["by_category"] = {"[safety]": report["overall"]}
    print_scores(Console(), report, has_reference=False)
    printed = capsys.readouterr().out
    assert "[safety]" in printed
    assert "pairs[new].jsonl" in printed


def test_a_model_is_indifferent_against_itself(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "stories260k/hf"
    report = scored(tmp_path, folder, f"dpo.reference_checkpoint={folder}")
    assert report["overall"]["margin"]["mean"] == 0
    assert report["overall"]["ties"] == 2
    assert report["displacement"]["chosen_change_nats"] == 0


def test_a_pair_beyond_the_learned_positions_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "gpt2"
    make("gpt2", vocab_size=257).save_pretrained(folder)
    BpeTokenizer(257).build([], separates_documents=True).save_pretrained(folder)
    scored(tmp_path, folder)
    with pytest.raises(ConfigError, match="longer than the 48 positions"):
        scored(tmp_path, folder, rows=[{"prompt": "a" * 60, "chosen": "b", "rejected": "c"}])


def test_different_tokenizers_do_not_compare(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "stories260k/hf"
    other = tmp_path / "other"
    AutoModelForCausalLM.from_pretrained(folder).save_pretrained(other)
    BpeTokenizer(257).build([], separates_documents=True).save_pretrained(other)
    with pytest.raises(CheckpointError, match="have different tokenizers"):
        scored(tmp_path, folder, f"dpo.reference_checkpoint={other}")
