"""Revisions of what is not on the hub."""

from __future__ import annotations

from collections.abc import Iterable

from infinito.cli.revisions import list_wanted
from infinito.config import RunConf
from infinito.hub import is_hub_id


def revision_faults(conf: RunConf) -> Iterable[str]:
    for wanted in list_wanted(conf):
        if wanted.revision is not None and not is_hub_id(wanted.name):
            yield (
                f"`{wanted.revision_key}`={wanted.revision} chooses a revision of an id on the "
                f"hub, and `{wanted.key}`={wanted.name or 'null'} is none: leave the revision out, "
                f"or give an id, `{wanted.key}=<owner/name>`"
            )
