"""Writes a Hugging Face folder that any program of that ecosystem opens, and says how.

The folder does not ship the architecture's code. Its attention is compiled kernels of this package:
a copy beside each model would be a second, slow implementation, and code that comes with a model is
what infinito itself never runs. The folder's README names the import that registers it instead.
"""

from __future__ import annotations

import copy
from pathlib import Path

from transformers import PreTrainedModel, PreTrainedTokenizerFast

from infinito.models.distance_lm.config import DistanceLMConfig
from infinito.models.memory.model import MemoryLMConfig
from infinito.models.pretrained.generation_config import make_savable
from infinito.models.pretrained.lora import inside_memory, merge_adapters
from infinito.models.trained import Trained


def export(trained: Trained, folder: Path) -> None:
    """Write a Hugging Face folder that stands alone; adapters are merged into their weights."""
    model = merge_adapters(trained.model)
    tokenizer = padding_tokenizer(trained.tokenizer)
    if model.generation_config is not None and model.generation_config.pad_token_id is None:
        # Not in the model's config: an embedding leaves the row of its pad token untrained.
        model.generation_config.pad_token_id = tokenizer.pad_token_id
    make_savable(model)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    (folder / "README.md").write_text(folder_card(model), encoding="utf-8")


def padding_tokenizer(tokenizer: PreTrainedTokenizerFast) -> PreTrainedTokenizerFast:
    """Return a copy that can pad a batch, on the left, with its end of text.

    One that has a pad token already is returned unchanged, and so is one without an end of text,
    which has no token to spare.
    """
    if tokenizer.pad_token is not None or tokenizer.eos_token is None:
        return tokenizer
    padding = copy.deepcopy(tokenizer)
    padding.pad_token, padding.padding_side = tokenizer.eos_token, "left"
    padding.init_kwargs["padding_side"] = "left"  # what is saved; the attribute alone is not
    return padding


def folder_card(model: PreTrainedModel) -> str:
    """Return the README.md of a model's folder: the lines that open it."""
    opening = [
        "from transformers import AutoModelForCausalLM, AutoTokenizer",
        "",
        *registering_import(model),
        'model = AutoModelForCausalLM.from_pretrained("<this folder>")',
        'tokenizer = AutoTokenizer.from_pretrained("<this folder>")',
    ]
    lines = [
        "---",
        "library_name: transformers",
        "pipeline_tag: text-generation",
        "tags:",
        "- infinito",
        "---",
        "",
        f"# {type(model).__name__}",
        "",
        "```python",
        *opening,
        "```",
        "",
    ]
    if registering_import(model):
        lines += [
            "The import registers the architecture, whose code is in the package `infinito`; this",
            "folder holds no code, so `trust_remote_code` does not open it.",
            "",
        ]
    settings = getattr(inside_memory(model).config, "distance_attention", None)
    if settings is not None:
        lines += [
            f"Its attention was replaced by the metric `{settings['metric']}`, which transformers",
            "alone would ignore. Open it by `infinito.models.pretrained.opening.open_weights`.",
            "",
        ]
    return "\n".join(lines)


def registering_import(model: PreTrainedModel) -> list[str]:
    """Return the import that registers a model's architecture with transformers, if it is ours."""
    if isinstance(model.config, MemoryLMConfig):
        return ["import infinito.models.memory.model  # registers the architecture"]
    if isinstance(model.config, DistanceLMConfig):
        return ["import infinito.models.distance_lm  # registers the architecture"]
    return []
