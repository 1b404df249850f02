"""Contestants, each in a process of its own: CPU seconds of each step, and peak memory in MiB."""

from __future__ import annotations

import resource
import shutil
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

STEPS, BATCH, TIME = 3, 16, 256
"""The first step is not counted."""

LANGUAGE = "objective=language"
NO_PHI = "~objective.lambda_phi"
OWN: dict[str, list[str]] = {
    "infinito": [LANGUAGE, NO_PHI],
    "infinito, chunked loss": [LANGUAGE, NO_PHI, "trainer.chunked_loss=true"],
    "infinito, Φ": [],
}


def run(contestant: str, model: Path, text: Path, work: Path) -> dict[str, Any]:
    """Train a few steps; return what was measured."""
    if contestant in OWN:
        ends_s = own(model, text, work, OWN[contestant])
    else:
        ends_s = {"peft, bare loop": bare_loop, "peft, Trainer": trainer}[contestant](model, work)
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"steps_s": [b - a for a, b in pairwise(ends_s)], "peak_mib": peak_mib}


def own(model: Path, text: Path, work: Path, overrides: list[str]) -> list[float]:
    """Run the experiment as a command does; return CPU time before and after each step."""
    from infinito import run as program
    from infinito.cli.composition import check
    from infinito.paths import conf_dir
    from infinito.training.optimizer.optimized_task import OptimizedTask

    ends_s: list[float] = []
    take = OptimizedTask.optimizer_step

    def timed(self: Any, *arguments: Any, **named: Any) -> None:
        if not ends_s:
            ends_s.append(time.process_time())
        take(self, *arguments, **named)
        ends_s.append(time.process_time())

    OptimizedTask.optimizer_step = timed  # type: ignore[method-assign]
    command = [
        "+experiment=base_gpt2_lora",
        f"model.path={model}",
        "data=text",
        f"data.path={text}",
        "data.max_bytes=200000",
        f"data.batch_size={BATCH}",
        f"data.block_size={TIME}",
        f"data.cache_dir={work / 'cache'}",
        f"runs_dir={work}",
        "trainer.epochs=null",
        f"trainer.max_steps={STEPS}",
        "trainer.validation_batches=1",
        "trainer.sample_tokens=0",
        "trainer.progress_bar=false",
        "trainer.threads=1",
    ]
    shutil.rmtree(work / "run", ignore_errors=True)
    program.execute(check([*command, *overrides], conf_dir()), work / "run")
    shutil.rmtree(work / "run")
    return ends_s


def adapted(model: Path) -> Any:
    """Return the model with peft's adapters, as the experiment has them."""
    import peft
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    settings = peft.LoraConfig(
        r=8,
        lora_alpha=32,
        lora_dropout=0.1,
        target_modules=["c_attn", "c_proj"],
        fan_in_fan_out=True,
        task_type="CAUSAL_LM",
    )
    base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    return peft.get_peft_model(base, settings).train()


def random_windows() -> Any:
    """Return the token ids of all batches, (steps, batch, time)."""
    import torch

    torch.manual_seed(0)
    return torch.randint(50_257, (STEPS, BATCH, TIME))


def bare_loop(model: Path, _: Path) -> list[float]:
    """Train by forward, backward, clipping and a fused AdamW, and nothing else."""
    import torch

    adapter = adapted(model)
    trained = [each for each in adapter.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(
        trained, lr=2e-4, betas=(0.9, 0.98), weight_decay=0.01, fused=True
    )
    ends_s = [time.process_time()]
    for ids in random_windows():
        adapter(input_ids=ids, labels=ids).loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        ends_s.append(time.process_time())
    return ends_s


def trainer(model: Path, work: Path) -> list[float]:
    """Train by transformers' Trainer."""
    from transformers import Trainer, TrainerCallback, TrainingArguments

    ends_s: list[float] = []

    class Steps(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if not ends_s:
                ends_s.append(time.process_time())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends_s.append(time.process_time())

    rows = [{"input_ids": row, "labels": row} for row in random_windows().flatten(0, 1)]
    arguments = TrainingArguments(
        output_dir=str(work / "trainer"),
        per_device_train_batch_size=BATCH,
        max_steps=STEPS,
        learning_rate=2e-4,
        adam_beta2=0.98,
        weight_decay=0.01,
        optim="adamw_torch_fused",
        use_cpu=True,
        report_to="none",
        save_strategy="no",
        logging_steps=STEPS,
        disable_tqdm=True,
        dataloader_pin_memory=False,
    )
    Trainer(model=adapted(model), args=arguments, train_dataset=rows, callbacks=[Steps()]).train()
    return ends_s
