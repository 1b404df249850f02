"""Turns a configuration into a conversation with a model."""

from __future__ import annotations

from infinito.chat.conversation import Conversation
from infinito.chat.prompts import Prompts
from infinito.config import RunConf
from infinito.models.assembly import open_trained_model


def build_conversation(conf: RunConf) -> Conversation:
    """Return a conversation with the model at `checkpoint`.

    Raises:
        CheckpointError: there is no such model.
        DataError: it has no chat template, or the template takes no system's message.
    """
    trained = open_trained_model(conf)
    prompts = Prompts(trained, conf.chat.template)
    return Conversation(trained, prompts, conf.generation, conf.chat, conf.seed)
