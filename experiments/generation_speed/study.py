"""Times greedy text: `transformers.generate`, `task=generate`, and a lean loop, in turns.

python experiments/generation_speed/study.py --stories <folder of stories260K>

It writes results.json after each model and number of prompts, and goes on where it was stopped.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import torch
from loop import faster_loop
from transformers import AutoModelForCausalLM, PreTrainedModel

from infinito.models.distance_lm import DistanceLMConfig
from infinito.models.generation import continue_together, reset_generation_config

HERE = Path(__file__).parent
RESULTS = HERE / "results.json"
sys.path.insert(0, str(HERE.parent / "real_size"))
PROMPT, NEW = 8, 128
LOOPS = ("transformers", "infinito", "lean")


def distance(metric: str) -> DistanceLMConfig:
    """Return the shape of the main job, with its vocabulary."""
    return DistanceLMConfig(
        vocab_size=512,
        hidden_size=128,
        num_hidden_layers=4,
        num_attention_heads=4,
        max_position_embeddings=256,
        metric=metric,
    )


def build(name: str, stories: Path) -> PreTrainedModel:
    """Return a model in evaluation mode; all but stories260K have random weights of seed 0."""
    from models import SHAPES

    torch.manual_seed(0)
    model: Any
    if name == "stories260K":
        model = AutoModelForCausalLM.from_pretrained(stories)
    elif name.startswith("DistanceLM"):
        model = AutoModelForCausalLM.from_config(distance(name.rpartition(" ")[2]))
    else:
        model = AutoModelForCausalLM.from_config(SHAPES[name])
    model.generation_config.eos_token_id = None  # all texts are equally long
    return model.eval()


def compare(model: Any, prompts: int, repeats: int) -> dict[str, Any]:
    """Return CPU milliseconds a step of each, all repeats, and whether the texts were equal."""
    torch.manual_seed(1)
    ids = torch.randint(3, 400, (prompts, PROMPT))
    options: dict[str, Any] = {"do_sample": False, "max_new_tokens": NEW, "pad_token_id": 0}

    def generate(new: int, **loop: Any) -> list[list[int]]:
        with torch.no_grad(), reset_generation_config(model):
            written = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                **{**options, "max_new_tokens": new},
                **loop,
            )
        return written[:, PROMPT:].tolist()

    def own_loop(new: int) -> list[list[int]]:
        return continue_together(model, ids.tolist(), [], **{**options, "max_new_tokens": new})

    loops: dict[str, Callable[[int], list[list[int]]]] = {
        "transformers": generate,
        "infinito": own_loop,
        "lean": lambda new: generate(new, **faster_loop(model)),
    }
    found: dict[str, Any] = {name: [] for name in loops}
    texts = {}
    for loop in loops.values():
        loop(4)
    for _ in range(repeats):
        for name, loop in loops.items():
            began_s = time.process_time()
            texts[name] = loop(NEW)
            found[name].append((time.process_time() - began_s) / NEW * 1e3)
    return {**found, "equal": all(text == texts["transformers"] for text in texts.values())}


def table(results: dict[str, Any]) -> str:
    """Return the results as rows of a table in Markdown."""
    lines = [
        "| model | prompts | transformers, tokens/s | infinito | lean | its ratio | texts |",
        "|---|---|---|---|---|---|---|",
    ]
    for cell, found in results.items():
        name, _, prompts = cell.rpartition(" × ")
        rates = [1e3 * int(prompts) / median(found[loop]) for loop in LOOPS]
        equal = "equal" if found["equal"] else "differ"
        shown = " | ".join(f"{rate:,.0f}" for rate in rates)
        lines.append(f"| {name} | {prompts} | {shown} | {rates[2] / rates[0]:.2f} | {equal} |")
    return "\n".join(lines)


MODELS = ("stories260K", "DistanceLM dot", "DistanceLM l1", "llama-15m", "gpt2")


def main() -> None:
    """Measure what results.json lacks, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--stories", type=Path, required=True)
    parser.add_argument("--only", choices=MODELS, nargs="*", default=MODELS)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    results = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for name in arguments.only:
        model = build(name, arguments.stories)
        for prompts in (1, 8):
            cell = f"{name} × {prompts}"
            if cell not in results:
                results[cell] = compare(model, prompts, arguments.repeats)
                RESULTS.write_text(json.dumps(results, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
