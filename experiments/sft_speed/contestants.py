"""A training by TRL or by infinito that notes CPU time and loss at every step."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from recipes import Recipe, random_conversations
from transformers import AutoModelForCausalLM, LlamaConfig, PreTrainedModel

from infinito.data.conversations.conversation import TokenizedConversation

LEARNING_RATE = 1e-4

Run = Callable[[], tuple[list[float], list[float]]]
"""Returns the CPU seconds at the start and after each step, and the loss of each step."""


def build_model(recipe: Recipe) -> PreTrainedModel:
    """A Llama from seed 0."""
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=recipe.vocab,
        hidden_size=recipe.dim,
        intermediate_size=4 * recipe.dim,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.heads,
        max_position_embeddings=2048,
        tie_word_embeddings=True,
    )
    return AutoModelForCausalLM.from_config(config)


def in_order(recipe: Recipe) -> list[TokenizedConversation]:
    """Return the conversations in the order in which infinito trains on them."""
    from infinito.data.conversations.length_buckets import BucketOrder

    rows = random_conversations(recipe)
    order = BucketOrder([len(x.ids) for x in rows], recipe.batch_size, seed=0, pool_batches=1)
    return [rows[number] for batch in order.global_batches(0) for number in batch]


def infinito_training(recipe: Recipe) -> Run:
    """A training by infinito's Lightning module and stream of batches."""
    from lightning import Callback, Trainer

    from infinito.config import AdamWConf
    from infinito.data.conversations.datamodule import ConversationStream
    from infinito.data.conversations.layouts import arrange
    from infinito.data.conversations.length_buckets import CALL_TOKENS, BucketOrder
    from infinito.objectives.units import TextUnits
    from infinito.training.conversations.layout_probe import choose_layout
    from infinito.training.module.batch_loss import ConversationLoss
    from infinito.training.module.language_model import LanguageModelTask

    times: list[float] = []
    losses: list[float] = []

    class Clock(Callback):
        def on_train_batch_start(self, *_: Any, **__: Any) -> None:
            times[:] = times or [time.process_time()]

        def on_train_batch_end(self, *given: Any, **__: Any) -> None:
            times.append(time.process_time())
            losses.append(float(given[1].last_loss))

    model = build_model(recipe)
    rows = random_conversations(recipe)
    layout = choose_layout(model, rows)
    optimizer = AdamWConf(
        lr=LEARNING_RATE, betas=[0.9, 0.999], weight_decay=0.0, schedule="constant", warmup_steps=0
    )
    task = LanguageModelTask(
        model, optimizer, recipe.steps, TextUnits(1.0), loss=ConversationLoss(layout.head)
    )

    def collate(numbers: Any, share: float | None, windows: Any = ()) -> Any:
        del windows  # no text comes with them
        return arrange([rows[number] for number in numbers], layout.name, share, CALL_TOKENS)

    order = BucketOrder([len(x.ids) for x in rows], recipe.batch_size, seed=0, pool_batches=1)
    learned = np.array([len(each.learned) for each in rows])
    stream = ConversationStream(order, learned, collate, recipe.steps)
    trainer = Trainer(
        max_epochs=1, accelerator="cpu", callbacks=[Clock()], logger=False,
        enable_checkpointing=False, enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip

    def run() -> tuple[list[float], list[float]]:
        trainer.fit(task, stream)
        return times, losses

    return run


def trl_training(recipe: Recipe) -> Run:
    """The same by TRL: no gradient checkpointing, no mixed precision, fused AdamW."""
    import datasets
    import trl
    from tokenizers import Tokenizer, models
    from transformers import PreTrainedTokenizerFast, TrainerCallback

    times: list[float] = []
    losses: list[float] = []

    class Clock(TrainerCallback):
        def on_train_begin(self, *_: Any, **__: Any) -> None:
            times[:] = [time.process_time()]

        def on_step_end(self, *_: Any, **__: Any) -> None:
            times.append(time.process_time())

    class Recording(trl.SFTTrainer):
        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

        def compute_loss(self, *args: Any, **kwargs: Any) -> Any:
            loss = super().compute_loss(*args, **kwargs)
            losses.append(float(loss.detach()))
            return loss

    vocabulary = {"<pad>": 0, "<eos>": 1}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="<eos>")),
        pad_token="<pad>",
        eos_token="<eos>",
    )
    tokenizer.chat_template = "{% generation %}x{% endgeneration %}"  # TRL asks for marks
    trainer = Recording(
        model=build_model(recipe),
        args=trl.SFTConfig(
            output_dir=tempfile.mkdtemp(),
            per_device_train_batch_size=recipe.batch_size,
            max_steps=recipe.steps,
            learning_rate=LEARNING_RATE,
            lr_scheduler_type="constant",
            max_grad_norm=1.0,
            max_length=None,
            assistant_only_loss=True,
            train_sampling_strategy="sequential",
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            dataloader_pin_memory=False,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
        ),
        train_dataset=datasets.Dataset.from_list(list(map(trl_row, in_order(recipe)))),
        processing_class=tokenizer,
        callbacks=[Clock()],
    )

    def run() -> tuple[list[float], list[float]]:
        trainer.train()
        return times, losses

    return run


def trl_row(conversation: TokenizedConversation) -> dict[str, Any]:
    """Return a conversation as TRL's collator reads it."""
    learned = set(conversation.learned)
    ids = list(conversation.ids)
    labels = [token if place in learned else -100 for place, token in enumerate(ids)]
    asked = [{"role": "user", "content": "x"}]  # TRL asks for conversations, and reads the ids
    return {"messages": asked, "input_ids": ids, "labels": labels}


CONTESTANTS = {"infinito": infinito_training, "TRL": trl_training}
