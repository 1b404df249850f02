"""Turns a configuration into the models that are served."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from infinito.config import RunConf
from infinito.models.assembly import open_trained_model
from infinito.run_folder.folder import find_run_folder
from infinito.serving.served import ServedModel


def build_models(conf: RunConf) -> list[ServedModel]:
    """Return the model at `checkpoint`, then that at `serve.compare`, each with a name of its own.

    Raises:
        CheckpointError: there is no such model.
        DataError: it has no chat template.
    """
    compared = [] if conf.serve.compare is None else [conf.serve.compare]
    served: list[ServedModel] = []
    for checkpoint in (str(conf.checkpoint), *compared):
        trained = open_trained_model(replace(conf, checkpoint=checkpoint))
        name = name_model(trained.source)
        if any(model.name == name for model in served):
            name = f"{name}#2"
        served.append(ServedModel(name, trained, conf.chat, conf.generation, conf.serve, conf.seed))
    return served


def name_model(source: Path) -> str:
    """Return a name for a checkpoint: `<run's name>/<run's folder>`, or the folder's name."""
    folder = find_run_folder(source)
    if folder is None:
        return source.absolute().name
    whole = folder.absolute()
    return f"{whole.parent.name}/{whole.name}"
