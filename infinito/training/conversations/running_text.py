"""Opens the text that a training on conversations reads on the side."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from transformers import PreTrainedTokenizerFast

from infinito.cli.typed_values import parse
from infinito.config import ConversationsConf, PairsConf, RunConf, TextConf
from infinito.data.assembly import build_data_module
from infinito.data.conversations.assembly import require_conversations
from infinito.data.conversations.running_text import RunningText
from infinito.data.datamodule import LanguageDataModule
from infinito.data.record import text_input
from infinito.errors import CheckpointError
from infinito.models.trained import open_trained
from infinito.run_folder.folder import find_run_folder, saved_values
from infinito.run_folder.pins import check_text
from infinito.run_folder.progress import Show
from infinito.seeding import child_seed

MEND = "Name the text: `data.text_path=<file, folder or glob>`, or use `data.text_rows=0`"


def build_running_text(
    conf: RunConf, tokenizer: PreTrainedTokenizerFast, show: Show | None = None
) -> RunningText:
    """Return the windows of text that come with each batch of conversations.

    Args:
        conf: The configuration of the run.
        tokenizer: The model's.
        show: Receives the progress of reading and tokenising.

    Raises:
        CheckpointError: no text is named, and the run in `checkpoint` has none, or another one now.
        DataError: the text cannot be read, or is shorter than a window.
    """
    data = require_conversations(conf)
    name = data.text_path
    text = (
        _open_named(conf, name, tokenizer, show)
        if name
        else _open_trained_on(conf, tokenizer, show)
    )
    blocks = text.blocks("train")
    return RunningText(
        blocks,
        data.text_rows,
        seed=child_seed(conf.seed, "running text"),
        name=text.source.description,
        fingerprint=text.split_meta("train").sha256,
    )


def _open_named(
    conf: RunConf, path: str, tokenizer: PreTrainedTokenizerFast, show: Show | None
) -> LanguageDataModule:
    named = TextConf(
        name="text", path=path, block_size=conf.data.block_size, cache_dir=conf.data.cache_dir
    )
    return build_data_module(replace(conf, data=named), tokenizer, show)


def _open_trained_on(
    conf: RunConf, tokenizer: PreTrainedTokenizerFast, show: Show | None
) -> LanguageDataModule:
    folder = None if conf.checkpoint is None else find_run_folder(Path(conf.checkpoint))
    needs = "`data.text_rows` reads the training text of the run in `checkpoint`"
    if folder is None:
        found = f"`checkpoint`={conf.checkpoint} is no run folder"
        raise CheckpointError(f"{needs}, and {found}. {MEND}")
    values = saved_values(folder)
    trained_on = parse(values)
    if isinstance(trained_on.data, ConversationsConf | PairsConf):
        found = f"{folder} was trained on `data={trained_on.data.name}`"
        raise CheckpointError(f"{needs}, and {found}. {MEND}")
    data = replace(trained_on.data, block_size=conf.data.block_size, cache_dir=conf.data.cache_dir)
    text = build_data_module(replace(trained_on, data=data), tokenizer, show)
    record = open_trained(str(conf.checkpoint)).record
    check_text(record, values["data"], text_input(text, "train"))
    return text
