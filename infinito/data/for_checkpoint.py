"""The configured text, tokenised as a checkpoint needs it."""

from __future__ import annotations

from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.data.datamodule import LanguageDataModule
from infinito.errors import CheckpointError
from infinito.models.trained import Trained


def build_data_for_checkpoint(conf: RunConf, trained: Trained) -> LanguageDataModule:
    """The configured text, tokenised by the checkpoint's own tokenizer.

    Raises:
        CheckpointError: the tokenizer has ids that the model lacks, or windows are too long.
    """
    vocab = int(trained.model.get_input_embeddings().num_embeddings)  # type: ignore[arg-type]
    if len(trained.tokenizer) > vocab:
        raise CheckpointError(
            f"{trained.source}: its tokenizer has {len(trained.tokenizer)} tokens, its model only "
            f"{vocab}; they do not belong together"
        )
    longest = getattr(trained.model.config, "max_position_embeddings", None)
    if longest is not None and conf.data.block_size > longest:
        raise CheckpointError(
            f"`data.block_size`={conf.data.block_size} is longer than the {longest} positions of "
            f"{trained.source}: use `data.block_size={longest}`"
        )
    return build_data_module(conf, trained.tokenizer)
