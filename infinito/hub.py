"""Tells hub names from folders, checks quickly that the hub answers, and downloads models."""

from __future__ import annotations

from pathlib import Path

from infinito.errors import DataError, HubError

PROBE_TIMEOUT_S = 5.0


def names_a_folder(name: str) -> bool:
    """Return whether `name` is a path, present or not, rather than a hub id (`owner/name`)."""
    looks_local = name.startswith((".", "/", "~")) or name.count("/") > 1 or "\\" in name
    return looks_local or Path(name).exists()


def require_hub(what: str, mend: str) -> None:
    """Check that the hub answers; with HF_HUB_OFFLINE=1 the libraries' own cache is used instead.

    The libraries themselves retry for 20 to 50 seconds before they give up.

    Args:
        what: the thing wanted of the hub, for the message.
        mend: an override that needs no hub.

    Raises:
        HubError: no answer within 5 seconds.
    """
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return
    try:
        get_session().head(constants.ENDPOINT, timeout=PROBE_TIMEOUT_S)
    except Exception as error:  # the HTTP client's own classes differ between hub versions
        raise unreachable(what, mend, str(error)) from error


def unreachable(what: str, mend: str, cause: str) -> HubError:
    """Return the error for something that the hub did not deliver."""
    from huggingface_hub import constants

    downloaded = ", or set HF_HUB_OFFLINE=1 if it has been downloaded before"
    return HubError(
        f"The hub could not give the {what}: {cause.rstrip('.')}. Use a local copy with {mend}"
        f"{'' if constants.HF_HUB_OFFLINE else downloaded}."
    )


MODEL_FILES = ("*.json", "*.safetensors", "*.model", "merges.txt", "vocab.txt")
"""Files of a language model and its tokenizer; no code is among them."""


def model_folder(name: str, mend: str = "model.path=<folder>") -> Path:
    """Return the folder of a model: a local one, or a copy of what the hub has under that name.

    Args:
        name: folder or hub id.
        mend: an override that needs no hub.

    Raises:
        DataError: there is no such folder.
        HubError: the hub could not give it.
    """
    if names_a_folder(name):
        folder = Path(name).expanduser()
        if not (folder / "config.json").is_file():
            raise DataError(
                f"`{mend.partition('=')[0]}`={name} is no folder with a config.json. Give one that "
                "save_pretrained wrote, or a hub id such as openai-community/gpt2."
            )
        return folder
    from huggingface_hub import snapshot_download

    require_hub(f"model {name}", mend)
    try:
        return Path(
            snapshot_download(
                name, allow_patterns=list(MODEL_FILES), ignore_patterns=["*/*", "consolidated*"]
            )
        )
    except Exception as error:  # the hub's many classes; each means that it did not come
        raise unreachable(f"model {name}", mend, str(error).splitlines()[0]) from error
