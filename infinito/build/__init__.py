"""Builds the objects of a run from its configuration: the only place where they are wired."""

from infinito.build.device import accelerator, autocast_dtype, torch_device
from infinito.build.model import language_model
from infinito.build.objective import phi_objective, spread_windows
from infinito.build.preference import (
    Policy,
    new_tokenizer,
    objective,
    pair_set,
    pair_texts,
    pair_tokenizer,
    pairs_conf,
    policy,
    vocab_of,
)
from infinito.build.preference_training import (
    PreferenceTraining,
    preference_training,
    reference_scores,
)
from infinito.build.text import data_module, source, text_units, tokenizer_spec
from infinito.build.trained import trained_model
from infinito.build.trainer import Length, Training, language_model_task, training, training_length

__all__ = [
    "Length",
    "Policy",
    "PreferenceTraining",
    "Training",
    "accelerator",
    "autocast_dtype",
    "data_module",
    "language_model",
    "language_model_task",
    "new_tokenizer",
    "objective",
    "pair_set",
    "pair_texts",
    "pair_tokenizer",
    "pairs_conf",
    "phi_objective",
    "policy",
    "preference_training",
    "reference_scores",
    "source",
    "spread_windows",
    "text_units",
    "tokenizer_spec",
    "torch_device",
    "trained_model",
    "training",
    "training_length",
    "vocab_of",
]
