"""Writes the model card of a tuned policy: its base, its training and its verdict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infinito.preferences.report.document import render_markdown


def render_model_card(report: Mapping[str, Any], base: str | None) -> str:
    """Return the README.md of a Hugging Face folder, its metadata first.

    Args:
        report: The training report.
        base: Id on the hub of the model that was tuned; None for any other model.
    """
    metadata = ["library_name: transformers", "pipeline_tag: text-generation"]
    if base is not None:
        metadata.append(f"base_model: {base}")
    metadata += ["tags:", "- dpo", "- infinito"]
    body = render_markdown({**report, "history": []}).partition("\n")[2]
    return "\n".join(
        [
            "---",
            *metadata,
            "---",
            "",
            f"# {report['model']['name']}, tuned on preference pairs",
            "",
            "```python",
            "from transformers import AutoModelForCausalLM, AutoTokenizer",
            "",
            *(["import infinito.models.distance_lm.model  # registers it"] * _is_own(report)),
            'model = AutoModelForCausalLM.from_pretrained("<this folder>")',
            'tokenizer = AutoTokenizer.from_pretrained("<this folder>")',
            "```",
            "",
            f"Verdict on held-out pairs: **{report['status']}**.",
            body,
            "training_report.json, beside this file, holds every figure.",
            "",
        ]
    )


def _is_own(report: Mapping[str, Any]) -> bool:
    return str(report["model"]["type"]) == "distance_lm"
