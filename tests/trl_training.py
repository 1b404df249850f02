"""The same rows, in the same order, through TRL's trainers: the yardstick of parity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import trl
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from infinito.data.conversations.conversation import TokenizedConversation
from infinito.preferences.pairs.pair import TokenizedPair

LEAN: dict[str, Any] = {
    "lr_scheduler_type": "constant",
    "max_grad_norm": 1.0,
    "max_length": None,
    "train_sampling_strategy": "sequential",
    "use_cpu": True,
    "bf16": False,
    "gradient_checkpointing": False,
    "dataloader_pin_memory": False,
    "report_to": "none",
    "save_strategy": "no",
    "logging_strategy": "no",
    "disable_tqdm": True,
}
"""One CPU, rows in their order, as lean as TRL gets."""


class Recording:
    """Rows that are token ids already pass as they are; keeps each step's loss."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def compute_loss(self, *args: Any, **kwargs: Any) -> Tensor:
        loss: Tensor = super().compute_loss(*args, **kwargs)  # type: ignore[misc]
        self.losses = [*getattr(self, "losses", []), float(loss.detach())]
        return loss


class RecordingDpo(Recording, trl.DPOTrainer):
    """TRL's trainer on pairs."""


class RecordingSft(Recording, trl.SFTTrainer):
    """TRL's trainer on conversations."""


def build_tokenizer() -> PreTrainedTokenizerFast:
    """Return a tokenizer for padding alone."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1}, unk_token="<eos>")),
        pad_token="<pad>",
        eos_token="<eos>",
    )
    tokenizer.chat_template = "{% generation %}x{% endgeneration %}"  # TRL's SFT asks for marks
    return tokenizer


def trl_on_pairs(
    model: Any,
    reference: Any,
    pairs: Sequence[TokenizedPair],
    folder: Path,
    *,
    batch_size: int,
    steps: int,
    **settings: Any,
) -> RecordingDpo:
    """Return a trainer that takes the pairs in their order."""
    ids = {
        name: [list(getattr(pair, name)) for pair in pairs]
        for name in ("prompt_ids", "chosen_ids", "rejected_ids")
    }
    arguments = LEAN | {"learning_rate": 1e-4} | settings
    return RecordingDpo(
        model=model,
        ref_model=reference,
        args=trl.DPOConfig(
            output_dir=str(folder),
            per_device_train_batch_size=batch_size,
            max_steps=steps,
            **arguments,
        ),
        train_dataset=datasets.Dataset.from_dict(ids),
        processing_class=build_tokenizer(),
    )


def trl_on_conversations(
    model: Any,
    conversations: Sequence[TokenizedConversation],
    folder: Path,
    *,
    batch_size: int,
    steps: int,
    learning_rate: float,
) -> RecordingSft:
    """Return a trainer that takes the conversations in their order, and learns answers alone."""
    rows = [
        {
            "messages": [{"role": "user", "content": "x"}],  # TRL asks for conversations
            "input_ids": list(each.ids),
            "labels": [
                token if place in each.learned else -100 for place, token in enumerate(each.ids)
            ],
        }
        for each in conversations
    ]
    return RecordingSft(
        model=model,
        args=trl.SFTConfig(
            output_dir=str(folder),
            per_device_train_batch_size=batch_size,
            max_steps=steps,
            learning_rate=learning_rate,
            assistant_only_loss=True,
            **LEAN,
        ),
        train_dataset=datasets.Dataset.from_list(rows),
        processing_class=build_tokenizer(),
    )
