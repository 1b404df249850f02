"""The same tuning by TRL 1.16's DPOTrainer, with the same phases measured."""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Sized
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

from phases import Phases


def run(
    model_folder: Path, pairs: Path, *, lora: bool = False, answer_tokens: int = 100
) -> dict[str, Any]:
    """Tune on the batches in `pairs`; return phases and the loss of each step."""
    phases = Phases("imports")
    import datasets
    import torch
    import trl
    from torch.utils.data import SequentialSampler
    from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback

    class OrderedTrainer(trl.DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def _get_train_sampler(self, *_: Any, **__: Any) -> Any:
            return SequentialSampler(cast(Sized, self.train_dataset))

    ends_s: list[float] = []

    class Steps(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if not ends_s:
                ends_s.append(time.process_time())

        def on_step_end(self, *_: Any, **__: Any) -> None:
            ends_s.append(time.process_time())

    torch.set_num_threads(1)
    with phases.phase("opening"):
        model: Any = AutoModelForCausalLM.from_pretrained(model_folder, dtype=torch.float32)
        tokenizer = AutoTokenizer.from_pretrained(model_folder)
        tokenizer.pad_token = tokenizer.eos_token
        rows = json.loads(pairs.read_text())
        sets = {
            name: datasets.Dataset.from_list(
                [{**row, "length": sum(map(len, row.values()))} for row in rows[name]]
            )
            for name in rows
        }
    adapters: dict[str, Any] = {}
    if lora:
        import peft

        adapters["peft_config"] = peft.LoraConfig(
            r=8, lora_alpha=16, target_modules="all-linear", task_type="CAUSAL_LM"
        )
    with tempfile.TemporaryDirectory() as folder:
        arguments = trl.DPOConfig(
            output_dir=folder,
            per_device_train_batch_size=2,
            per_device_eval_batch_size=4,
            gradient_accumulation_steps=2,
            max_steps=6,
            learning_rate=1e-5,
            lr_scheduler_type="constant",
            adam_beta2=0.95,
            weight_decay=0.0,
            max_grad_norm=0.0,
            max_length=None,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            optim="adamw_torch_fused",
            precompute_ref_log_probs=True,
            remove_unused_columns=False,
            dataloader_pin_memory=False,
            logging_steps=1,
            report_to="none",
            save_strategy="no",
            disable_tqdm=True,
        )
        with phases.phase("scoring"):  # it computes the reference's log-probabilities
            trainer = OrderedTrainer(
                model=model,
                args=arguments,
                train_dataset=sets["train"],
                eval_dataset=sets["held_out"],
                processing_class=tokenizer,
                callbacks=[Steps()],
                **adapters,
            )
            trainer.evaluate()
        prompts = [row["prompt_ids"] for row in rows["held_out"][:4]]
        with phases.phase("answers"):
            _answer(model, tokenizer, prompts, answer_tokens)
        with phases.phase("training"):
            trainer.train()
        with phases.phase("scoring"):
            trainer.evaluate()
        with phases.phase("answers"):
            _answer(model, tokenizer, prompts, answer_tokens)
        with phases.phase("outputs"):
            trainer.save_model(folder)
        losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    steps_s = [end - start for start, end in pairwise(ends_s)]
    return {"phases": phases.close(), "losses": losses, "steps_s": steps_s}


def _answer(model: Any, tokenizer: Any, prompts: list[list[int]], tokens: int) -> None:
    """Answer all prompts in one batch, as likely as can be."""
    import torch

    model.eval()
    padded = tokenizer.pad({"input_ids": prompts}, padding_side="left", return_tensors="pt")
    with torch.no_grad():
        model.generate(
            **padded, max_new_tokens=tokens, do_sample=False, pad_token_id=tokenizer.pad_token_id
        )
