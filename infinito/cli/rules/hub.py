"""Revisions of what is not on the hub, and models that cannot be pushed to it."""

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


def push_faults(conf: RunConf) -> Iterable[str]:
    if conf.push is None:
        if not conf.push_private:
            yield (
                "`push_private`=false says who sees the model that `push` sends: give "
                "`push=<owner>/<name>`, or leave it out"
            )
        return
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils._validators import validate_repo_id

    try:
        if "/" not in conf.push:
            raise HFValidationError("it has no owner")
        validate_repo_id(conf.push)
    except HFValidationError as error:
        yield (
            f"`push`={conf.push} is no name for a model on the hub ({str(error).rstrip('.')}): use "
            "`push=<owner>/<name>`"
        )
    if conf.task == "dpo" and not {"model", "gguf"} & set(conf.dpo.export):
        yield (
            f"`push`={conf.push} sends the run's model/, and `dpo.export`={conf.dpo.export} writes "
            "none: use `dpo.export=[model]`, or leave `push` out"
        )
