"""The configured text, tokenised as a checkpoint needs it."""

from __future__ import annotations

from dataclasses import asdict

from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.data.datamodule import LanguageDataModule
from infinito.data.record import text_input
from infinito.data.sources.source import Split
from infinito.errors import CheckpointError
from infinito.models.trained import Trained
from infinito.run_folder.pins import check_text, with_absolute_paths


def build_data_for_checkpoint(
    conf: RunConf, trained: Trained, split: Split | None = None
) -> LanguageDataModule:
    """Return the configured text, tokenised by the checkpoint's own tokenizer.

    Args:
        conf: The configuration.
        trained: The checkpoint's model.
        split: What is read of the text; None for `split`.

    Raises:
        CheckpointError: the tokenizer has ids that the model lacks, windows are too long, or the
            text is the run's and has changed since.
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
    data = build_data_module(conf, trained.tokenizer)
    if trained.record is not None:
        found = text_input(data, split or conf.split)  # type: ignore[arg-type]
        check_text(trained.record, with_absolute_paths(asdict(conf))["data"], found)
    return data
