"""The same pairs, in the same order, through TRL's DPOTrainer: the yardstick of parity."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import trl
from tokenizers import Tokenizer, models
from torch import Tensor
from transformers import PreTrainedTokenizerFast

from infinito.preferences.pairs.pair import TokenizedPair


class RecordingTrainer(trl.DPOTrainer):
    """TRL's trainer on pairs that are token ids already; keeps each step's loss."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset

    def compute_loss(self, *args: Any, **kwargs: Any) -> Tensor:
        loss = super().compute_loss(*args, **kwargs)
        self.losses = [*getattr(self, "losses", []), float(loss.detach())]
        return loss


def trl_trainer(
    model: Any,
    reference: Any,
    pairs: Sequence[TokenizedPair],
    folder: Path,
    *,
    batch_size: int,
    steps: int,
    **settings: Any,
) -> RecordingTrainer:
    """A trainer that takes the pairs in their order, on one CPU, as lean as TRL gets."""
    ids = {
        name: [list(getattr(pair, name)) for pair in pairs]
        for name in ("prompt_ids", "chosen_ids", "rejected_ids")
    }
    vocabulary = {"<pad>": 0, "<eos>": 1}
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(vocabulary, unk_token="<eos>")),
        pad_token="<pad>",
        eos_token="<eos>",
    )
    arguments: dict[str, Any] = {
        "learning_rate": 1e-4,
        "lr_scheduler_type": "constant",
        "max_grad_norm": 1.0,
        "max_length": None,
        "train_sampling_strategy": "sequential",
        **settings,
    }
    return RecordingTrainer(
        model=model,
        ref_model=reference,
        args=trl.DPOConfig(
            output_dir=str(folder),
            per_device_train_batch_size=batch_size,
            max_steps=steps,
            use_cpu=True,
            bf16=False,
            gradient_checkpointing=False,
            dataloader_pin_memory=False,
            report_to="none",
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            **arguments,
        ),
        train_dataset=datasets.Dataset.from_dict(ids),
        processing_class=tokenizer,
    )
