"""Replaces branches and tags of the hub by the commits that they stand for when a run begins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from infinito.cli.read_by import READ_BY, keys
from infinito.config import HubConf, PairsConf, PretrainedConf, RunConf, WikiText2Conf
from infinito.config.data import WIKITEXT2_ID, RowsConf
from infinito.hub import Wanted, is_hub_id, resolve_commit

REVISIONS = keys("model.revision", "tokenizer.revision", "data.revision", "data.held_out_revision")
"""Keys that choose a revision of what the hub has."""


def pin_revisions(conf: RunConf) -> RunConf:
    """Return the configuration with a commit for each id of the hub that its task reads.

    So a run's config.yaml says what it began with, and whatever goes on from it reads the same.

    Raises:
        HubError: The hub does not answer, or has no such repository or revision.
    """
    for wanted in list(list_wanted(conf)):
        is_own = wanted.key == "tokenizer.path" and wanted == _own_tokenizer(conf)
        if wanted.key not in READ_BY[conf.task] or is_own or not is_hub_id(wanted.name):
            continue
        section, _, key = wanted.revision_key.partition(".")
        pinned = replace(getattr(conf, section), **{key: resolve_commit(wanted)})
        conf = replace(conf, **{section: pinned})
    return conf


def list_wanted(conf: RunConf) -> Iterator[Wanted]:
    """Yield what each key that may name something of the hub does name, "" for nothing."""
    if isinstance(conf.model, PretrainedConf):
        yield Wanted(conf.model.path or "", conf.model.revision)
    if conf.tokenizer.name == "pretrained":
        yield _tokenizer(conf.tokenizer.path, conf.tokenizer.revision)
    data = conf.data
    file = "<file or folder>"
    match data:
        case HubConf():
            name = data.path or ""
            yield Wanted(name, data.revision, "dataset", "data set", "data.path", file)
        case WikiText2Conf():
            name = data.path or WIKITEXT2_ID
            yield Wanted(name, data.revision, "dataset", "data set", "data.path", "<folder>")
        case RowsConf():
            what = "pairs" if isinstance(data, PairsConf) else "conversations"
            yield Wanted(data.path or "", data.revision, "dataset", what, "data.path", file)
            held_out, key = data.held_out_path or "", "data.held_out_path"
            yield Wanted(held_out, data.held_out_revision, "dataset", what, key, file)


def _tokenizer(path: str | None, revision: str | None) -> Wanted:
    local = "<folder with tokenizer.json>"
    return Wanted(path or "", revision, "model", "tokenizer", "tokenizer.path", local)


def _own_tokenizer(conf: RunConf) -> Wanted | None:
    """Return the tokenizer that a pretrained model brings, at the model's own revision."""
    model = conf.model
    return _tokenizer(model.path, None) if isinstance(model, PretrainedConf) else None
