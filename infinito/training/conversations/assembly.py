"""Builds what training on conversations needs besides what every training does."""

from __future__ import annotations

from typing import Any

from torch import tensor
from transformers import PreTrainedModel

from infinito.config import ConversationsConf, RunConf
from infinito.data.assembly import build_data_module
from infinito.data.conversations.assembly import build_conversation_data, require_conversations
from infinito.data.conversations.conversation_set import TokenizedConversations
from infinito.data.conversations.datamodule import ConversationDataModule
from infinito.data.datamodule import LanguageDataModule
from infinito.models.assembly import build_language_model
from infinito.models.trained import open_trained, own_tokenizer
from infinito.objectives.units import TextUnits
from infinito.run_folder.progress import Show
from infinito.training.callbacks.validation_report import Probe
from infinito.training.conversations.layout_probe import ConversationLayout, choose_layout
from infinito.training.conversations.running_text import build_running_text
from infinito.training.module.starting import start_from_checkpoint

KEY = "conversations"
"""Where the description in a checkpoint keeps the layout of conversations."""


def build_training_data(
    conf: RunConf, last: dict[str, Any] | None = None, show: Show | None = None
) -> LanguageDataModule | ConversationDataModule:
    """Return the data that a training reads.

    Args:
        conf: The configuration of the run.
        last: The checkpoint that a resumed run goes on from; its tokenizer is taken.
        show: Receives the progress of reading and tokenising.
    """
    tokenizer = own_tokenizer(last)
    if not isinstance(conf.data, ConversationsConf):
        return build_data_module(conf, tokenizer, show)
    if tokenizer is None and conf.checkpoint is not None:
        tokenizer = open_trained(conf.checkpoint).tokenizer
    data = build_conversation_data(conf, tokenizer)
    data.accumulate = conf.trainer.accumulate
    if require_conversations(conf).text_rows:
        data.text = build_running_text(conf, data.tokenizer, show)
    return data


def build_start(conf: RunConf, data: ConversationDataModule) -> PreTrainedModel:
    """Return the model to tune: that of `checkpoint`, or the one that `model` names."""
    if conf.checkpoint is not None:
        model = start_from_checkpoint(conf, open_trained(conf.checkpoint))
        model.train()  # Lightning warns of any other mode
        return model
    return build_language_model(conf, data.vocab_size, data.tokenizer.eos_token_id)


def lay_out(
    conf: RunConf,
    data: ConversationDataModule,
    model: PreTrainedModel,
    last: dict[str, Any] | None = None,
) -> ConversationLayout:
    """Set the layout of the batches, and return it with the head that suits it.

    Args:
        conf: The configuration of the run.
        data: Its conversations.
        model: What reads them.
        last: The checkpoint that a resumed run goes on from; its layout is kept.
    """
    kept = None if last is None else last["infinito"].get(KEY)
    rows = [*data.train.rows, *data.valid.rows]
    if kept is None:
        found = choose_layout(model, rows, require_conversations(conf).layout)
    else:
        found = ConversationLayout(**kept)
    data.layout = found.name
    return found


def count_units(found: TokenizedConversations) -> TextUnits:
    """Return the bytes of text that a learned token stands for."""
    tokens = sum(len(each.learned) for each in found.rows)
    return TextUnits(bytes_per_token=sum(each.learned_bytes for each in found.rows) / tokens)


def choose_probe(data: ConversationDataModule) -> Probe:
    """Return the first held-out conversation, and its beginning up to the first answer."""
    first = data.valid.rows[0]
    return Probe(tensor([first.inputs]), tensor(first.ids[: first.learned[0]]))
