"""Text generated with a schedule's agent against plain sampling, judged by another model.

python experiments/rl_generation/study.py --agent <run of rl_scheduler> --work <folder>
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from infinito import run as program
from infinito.cli.composition import check
from infinito.data.assembly import build_data_module
from infinito.models.trained import Trained, open_trained
from infinito.objectives.language import cross_entropy
from infinito.objectives.phi import Calibration, band_loss
from infinito.paths import conf_dir
from infinito.rl.environment.shared_parts import build_inner_training
from infinito.rl.environment.spaces import ACTIONS
from infinito.rl.environment.start_states import fit_calibration
from infinito.rl.environment.windows import Windows, spread_windows
from infinito.rl.generation.guided_generation import (
    MODES,
    ChooseAction,
    compute_distinct_n,
    compute_repetition,
    generate_guided,
    measure_text,
)
from infinito.rl.generation.guided_text import open_agent
from infinito.run_folder.records import write_json
from infinito.statistics import cluster_bootstrap

HERE = Path(__file__).parent
MODEL = (
    "attention=dot",
    "tokenizer=char",
    "model.dim=64",
    "model.layers=2",
    "model.max_positions=64",
    "attention.heads=2",
    "data.max_bytes=600000",
    "data.block_size=64",
    "data.batch_size=16",
    "optimizer.lr=3e-3",
    "optimizer.warmup_steps=50",
    "trainer.epochs=null",
    "trainer.validate_every=400",
    "trainer.sample_tokens=0",
    "trainer.threads=1",
    "trainer.progress_bar=false",
)
PROMPTS, PROMPT_TOKENS, TOKENS, EVERY, WINDOW = 32, 24, 96, 16, 64
TEMPERATURE = 0.8


def main() -> None:
    """Train writer and judge, generate three texts for each prompt, write results.json."""
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--agent", type=str, required=True)
    arguments.add_argument("--work", type=Path, required=True)
    arguments.add_argument("--steps", type=int, default=1200)
    options = arguments.parse_args()
    torch.set_num_threads(1)
    writer, judge = (model(options.work / f"seed_{seed}", seed, options.steps) for seed in (0, 1))
    run = check([*MODEL, f"trainer.max_steps={options.steps}"], conf_dir())
    data = build_data_module(run)
    probe = spread_windows(data.blocks("test"), PROMPTS)
    training = build_inner_training(check(["+experiment=rl_scheduler"], conf_dir()))
    windows = Windows(data.blocks("train"), probe, probe)
    calibration = fit_calibration(writer.model, windows, training, 0)
    choose, _ = open_agent(options.agent)
    prompts = probe[:, :PROMPT_TOKENS]
    guided = [
        generate(writer, prompt, choose, calibration, 1.0, seed)
        for seed, prompt in enumerate(prompts)
    ]
    factor = float(
        np.mean([list(MODES.values())[a].temperature for _, acts in guided for a in acts])
    )
    as_text = list(ACTIONS).index("TEXT")
    plain = {
        "plain": 1.0 / MODES["TEXT"].temperature,
        "plain, matched temperature": factor / MODES["TEXT"].temperature,
    }
    texts = {"agent": [ids for ids, _ in guided]}
    for name, scale in plain.items():
        texts[name] = [
            generate(writer, prompt, lambda _: as_text, calibration, scale, seed)[0]
            for seed, prompt in enumerate(prompts)
        ]
    figures = {
        name: [judge_text(ids, writer, judge, calibration) for ids in each]
        for name, each in texts.items()
    }
    report: dict[str, Any] = {
        "prompts": PROMPTS,
        "temperature": TEMPERATURE,
        "matched_factor": factor,
        "actions": {
            name: float(np.mean([a == n for _, acts in guided for a in acts]))
            for n, name in enumerate(ACTIONS)
        },
    }
    for name, each in figures.items():
        report[name] = {key: vars(cluster_bootstrap(column(each, key))) for key in each[0]}
        if name != "agent":
            report[f"agent less {name}"] = {
                key: vars(cluster_bootstrap(column(figures["agent"], key) - column(each, key)))
                for key in each[0]
            }
    write_json(HERE / "results.json", report)
    for name, found in report.items():
        print(name, found)


def model(folder: Path, seed: int, steps: int) -> Trained:
    """Train a language model with a seed of its own, unless its run exists."""
    if not (folder / "summary.json").is_file():
        overrides = [*MODEL, f"seed={seed}", f"trainer.max_steps={steps}"]
        program.execute(check(overrides, conf_dir()), folder, overrides)
    return open_trained(str(folder))


def generate(
    writer: Trained,
    prompt: Tensor,
    choose: ChooseAction,
    calibration: Calibration,
    scale: float,
    seed: int,
) -> tuple[Tensor, list[int]]:
    """Return a continuation of TOKENS ids and the actions of the agent."""
    torch.manual_seed(seed)
    options = {
        "do_sample": True,
        "temperature": TEMPERATURE * scale,
        "top_k": 0,
        "max_new_tokens": TOKENS,
        "eos_token_id": None,
        "pad_token_id": 0,
    }
    text = generate_guided(writer.model, prompt[None], choose, calibration, options, EVERY, WINDOW)
    return text.ids[0], text.actions


@torch.no_grad()
def judge_text(
    ids: Tensor, writer: Trained, judge: Trained, calibration: Calibration
) -> dict[str, float]:
    """Return the figures of one continuation; Φ is the writer's, on its last WINDOW tokens."""
    window = ids[None, -WINDOW:]
    nats = cross_entropy(judge.model(input_ids=window[:, :-1]).logits, window[:, 1:])
    new = ids[PROMPT_TOKENS:].tolist()
    phi = measure_text(writer.model, window, calibration).phi
    return {
        "judge_nats_per_token": float(nats),
        "distinct_2": compute_distinct_n(new, 2),
        "distinct_4": compute_distinct_n(new, 4),
        "repetition_4": compute_repetition(new, 4),
        "in_band": float(band_loss(torch.tensor(phi))[0] == 0),
    }


def column(rows: list[dict[str, float]], key: str) -> np.ndarray:
    """Return one figure of all texts, (prompts,)."""
    return np.array([row[key] for row in rows])


if __name__ == "__main__":
    main()
