"""What is measured of a model after each stage of a pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from infinito.cli.typed_values import parse
from infinito.config import RunConf, SkillsConf
from infinito.data.assembly import build_data_module
from infinito.data.conversations.assembly import build_conversation_tokenizer
from infinito.data.conversations.rendering.messages import to_messages
from infinito.data.conversations.rendering.tokenizing import ConversationTokenizer
from infinito.device import choose_device
from infinito.models.trained import Trained, open_trained
from infinito.objectives.units import loss_report
from infinito.preferences.assembly import build_pair_sets, build_pair_tokenizer
from infinito.preferences.pairs.pair_set import read_pairs
from infinito.preferences.scoring.layout_probe import choose_layout
from infinito.preferences.scoring.log_prob_table import tabulate_log_probs
from infinito.run_folder.folder import saved_values
from infinito.training.assembly import count_text_units
from infinito.training.conversations.answering import answer_questions
from infinito.training.conversations.skill_scores import measure_skills
from infinito.training.module.evaluation import mean_loss

PROMPTS = (
    "Spell tea.",
    "How many a in banana?",
    "Reverse abcd.",
    "Sort m c t.",
    "What is 12+30?",
    "What is 45-12?",
    "Which is larger, 7 or 70?",
    "Say: sand tent",
    "Ann is in Rome. Ben is in Oslo. Where is Ben?",
    "What is a token?",
)
"""The prompts of every stage's samples."""

SAMPLE_TOKENS = 60


def measure_stage(folder: Path, pretraining: Path, tuning: Path, conf: RunConf) -> dict[str, Any]:
    """Return bits per byte on held-out text, skills, and answers to the same prompts.

    Args:
        folder: The run of the stage.
        pretraining: The run whose held-out text is measured on.
        tuning: The run that taught the skills: its template and its held-out questions count.
        conf: The configuration of the pipeline, for its device.
    """
    trained = open_trained(str(folder))
    trained.model.to(choose_device(conf))  # type: ignore[arg-type]
    of_text, of_skills = parse(saved_values(pretraining)), parse(saved_values(tuning))
    assert isinstance(of_skills.data, SkillsConf)
    encode = build_conversation_tokenizer(of_skills, trained.tokenizer)
    questions = [to_messages(each, "user") for each in PROMPTS]
    answers = answer_questions(trained.model, encode, questions, SAMPLE_TOKENS)
    return {
        "bits_per_byte": measure_text(of_text, trained),
        "skills": measure_skills(of_skills.data, trained.model, encode).report()["skills"],
        "samples": dict(zip(PROMPTS, answers, strict=True)),
    }


def measure_text(conf: RunConf, trained: Trained) -> float:
    """Return bits per byte of the validation split that a pretraining had."""
    data = build_data_module(conf, trained.tokenizer)
    units = count_text_units(conf, data, "valid")
    nats, _ = mean_loss(trained.model, data.eval_dataloader("valid"))
    return loss_report(nats, units, "val")["val/bits_per_byte"]


def open_answering(folder: Path, conf: RunConf) -> tuple[Trained, RunConf, ConversationTokenizer]:
    """Return the model of a run of `data=skills`, its configuration, and what encodes questions."""
    trained = open_trained(str(folder))
    trained.model.to(choose_device(conf))  # type: ignore[arg-type]
    own = parse(saved_values(folder))
    return trained, own, build_conversation_tokenizer(own, trained.tokenizer)


def measure_preferences(folder: Path, tuning: Path, pairs: Path) -> float:
    """Return the share of pairs whose chosen answer the model of a run finds more likely.

    Args:
        folder: The run.
        tuning: The preference tuning whose template and settings count.
        pairs: File of held-out pairs.
    """
    trained, conf = open_trained(str(folder)), parse(saved_values(tuning))
    trained.tokenizer.chat_template = open_trained(str(tuning)).tokenizer.chat_template
    encode = build_pair_tokenizer(conf, trained.tokenizer)
    found = build_pair_sets(conf, [read_pairs(str(pairs))], encode)[0].pairs
    layout = choose_layout(trained.model, found)
    table = tabulate_log_probs(trained.model, found, layout).numpy()
    return float(np.mean(table[:, 0] > table[:, 1]))
