"""A training by TRL or by infinito that notes the process's CPU time at every step."""

from __future__ import annotations

import copy
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
from recipes import Recipe, random_pairs
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

LEARNING_RATE = 1e-5
LOG_EVERY = 10
LORA: dict[str, Any] = {"r": 8, "target_modules": ["q_proj", "v_proj"], "task_type": "CAUSAL_LM"}


def build_model(recipe: Recipe) -> PreTrainedModel:
    """Return a Llama from seed 0."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=recipe.vocab,
        hidden_size=recipe.dim,
        intermediate_size=4 * recipe.dim,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        max_position_embeddings=1024,
        tie_word_embeddings=recipe.tied,
    )
    return AutoModelForCausalLM.from_config(config)


def read_clock_s(device: str) -> float:
    """Return CPU seconds of this process; for a GPU the time, once it has done its work."""
    if device == "cpu":
        return time.process_time()
    torch.cuda.synchronize()
    return time.perf_counter()


def infinito_training(recipe: Recipe, device: str = "cpu") -> Callable[[], list[float]]:
    """Train by infinito; return the seconds (`read_clock_s`) at its start and after each step."""
    from lightning import Callback, Trainer

    from infinito.config import AdamWConf
    from infinito.preferences.dpo_module import DpoPolicyTask
    from infinito.preferences.log import PreferenceLog
    from infinito.preferences.objective.weighted_losses import PreferenceObjective
    from infinito.preferences.pairs.datamodule import PreferenceDataModule
    from infinito.preferences.reference.policies import (
        AdapterOffReference,
        CopyReference,
        PrecomputedReference,
    )
    from infinito.preferences.scoring.layout_probe import choose_layout
    from infinito.preferences.scoring.log_prob_table import tabulate_log_probs

    times: list[float] = []

    class Clock(Callback):
        def on_train_batch_start(self, *_: Any, **__: Any) -> None:
            times[:] = times or [read_clock_s(device)]

        def on_train_batch_end(self, *_: Any, **__: Any) -> None:
            times.append(read_clock_s(device))

    model: Any = build_model(recipe)
    if recipe.lora:
        import peft

        model = peft.get_peft_model(model, peft.LoraConfig(**LORA))
    pairs = random_pairs(recipe)
    layout = choose_layout(model, pairs)
    reference: Any = PrecomputedReference()
    table = tabulate_log_probs(model, pairs, layout) if recipe.precomputed else None
    if not recipe.precomputed:
        reference = (AdapterOffReference if recipe.lora else CopyReference)(model, layout.head)
    optimizer = AdamWConf(lr=LEARNING_RATE, betas=[0.9, 0.999], weight_decay=0.0)
    task = DpoPolicyTask(
        model,
        layout,
        PreferenceObjective(),
        optimizer,
        recipe.steps,
        reference,
        statistics_every=LOG_EVERY,
    )
    data = PreferenceDataModule(
        pairs,
        pairs[:1],
        layout=layout.name,
        batch_size=recipe.batch_size,
        bucket=recipe.bucketed,
        train_reference=table,
    )
    trainer = Trainer(
        max_epochs=1,
        limit_val_batches=0,
        accelerator=device,
        callbacks=[Clock(), PreferenceLog(LOG_EVERY)],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )

    def run() -> list[float]:
        trainer.fit(task, data)
        return times

    return run


def trl_training(
    recipe: Recipe, group_by_length: bool = False, device: str = "cpu"
) -> Callable[[], list[float]]:
    """Train the same by TRL: no gradient checkpointing, no mixed precision, fused AdamW."""
    import datasets
    import trl
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast, TrainerCallback

    times: list[float] = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            times[:] = times or [read_clock_s(device)]

        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(read_clock_s(device))

    class ReadyTrainer(trl.DPOTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    model = build_model(recipe)
    adapters: dict[str, Any] = {}
    if recipe.lora:
        import peft

        adapters = {"peft_config": peft.LoraConfig(**LORA)}
    own_copy = not (recipe.lora or recipe.precomputed)
    pairs = random_pairs(recipe)
    columns: dict[str, list[Any]] = {
        name: [getattr(pair, name) for pair in pairs]
        for name in ("prompt_ids", "chosen_ids", "rejected_ids")
    }
    columns["length"] = [pair.tokens for pair in pairs]
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<eos>")),
        pad_token="<pad>",
        eos_token="<eos>",
    )
    arguments = trl.DPOConfig(
        output_dir=tempfile.mkdtemp(),
        per_device_train_batch_size=recipe.batch_size,
        max_steps=recipe.steps,
        learning_rate=LEARNING_RATE,
        max_length=None,
        use_cpu=device == "cpu",
        bf16=False,
        gradient_checkpointing=False,
        optim="adamw_torch_fused",
        precompute_ref_log_probs=recipe.precomputed,
        train_sampling_strategy="group_by_length" if group_by_length else "random",
        remove_unused_columns=False,
        dataloader_pin_memory=False,
        logging_steps=LOG_EVERY,
        report_to="none",
        save_strategy="no",
        disable_tqdm=True,
    )
    trainer = ReadyTrainer(
        model=model,
        ref_model=copy.deepcopy(model) if own_copy else None,
        args=arguments,
        train_dataset=datasets.Dataset.from_dict(columns),
        processing_class=tokenizer,
        callbacks=[Clock()],
        **adapters,
    )

    def run() -> list[float]:
        trainer.train()
        return times

    return run


CONTESTANTS: dict[str, Callable[[Recipe], Callable[[], list[float]]]] = {
    "infinito": infinito_training,
    "TRL": trl_training,
    "TRL grouped": lambda recipe: trl_training(recipe, group_by_length=True),
}
