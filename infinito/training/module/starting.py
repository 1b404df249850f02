"""The model that a tuning starts from, where a checkpoint names one."""

from __future__ import annotations

from transformers import PreTrainedModel

from infinito.config import PretrainedConf, RunConf
from infinito.data.encoding import count_ids
from infinito.models.assembly import build_language_model
from infinito.models.pretrained.lora import merge_adapters
from infinito.models.pretrained.opening import check_length
from infinito.models.trained import Trained, start_weights


def start_from_checkpoint(conf: RunConf, trained: Trained) -> PreTrainedModel:
    """Return a trained model to tune: with adapters if `model` says so, all its weights otherwise.

    Raises:
        ConfigError: it has learned positions for fewer tokens than `data.block_size`.
        CheckpointError: `model` and `checkpoint` do not belong together.
    """
    if isinstance(conf.model, PretrainedConf):
        tokenizer = trained.tokenizer
        model = build_language_model(conf, count_ids(tokenizer), tokenizer.eos_token_id)
        start_weights(model, trained)
        return model
    check_length(trained.model, conf.data.block_size)
    return merge_adapters(trained.model).requires_grad_(True)
