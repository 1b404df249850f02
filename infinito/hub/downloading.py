"""Finds the commit that a name of the hub stands for, and fetches its files whole and unharmed.

A download runs in a process of its own: the libraries' transports have their own ideas of how
long to wait, and a process can be ended.
"""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from infinito.errors import DataError, HubError
from infinito.hub import patience
from infinito.hub.children import begin, read_answer
from infinito.hub.faults import damaged, explain, stalled
from infinito.hub.names import Wanted, is_commit, names_a_folder
from infinito.paths import cache_dir

MODEL_FILES = ("*.json", "*.safetensors", "*.model", "merges.txt", "vocab.txt")
"""Files of a language model and its tokenizer; no code is among them."""

TOKENIZER_FILES = ("*.json", "*.model", "merges.txt", "vocab.txt", "*.jinja")
"""Files of a tokenizer alone."""

LEFT_OUT = ("*/*", "consolidated*")
"""Files in folders, and weights in a format of their maker's own."""

LOOK_S = 0.2
"""Seconds between two looks at a download."""


def model_folder(name: str, revision: str | None = None, mend: str = "model.path=<folder>") -> Path:
    """Return the folder of a model: a local one, or a copy of what the hub has under that name.

    Args:
        name: Folder or hub id.
        revision: Branch, tag or commit of a hub id; None for its main branch.
        mend: An override that needs no hub.

    Raises:
        DataError: There is no such folder.
        HubError: The hub could not give it.
    """
    if not names_a_folder(name):
        return download(Wanted(name, revision), MODEL_FILES)
    folder = Path(name).expanduser()
    if not (folder / "config.json").is_file():
        raise DataError(
            f"`{mend.partition('=')[0]}`={name} is no folder with a config.json. Give one that "
            "save_pretrained wrote, or a hub id such as openai-community/gpt2."
        )
    return folder


@lru_cache(maxsize=64)
def resolve_commit(wanted: Wanted) -> str:
    """Return the commit that a revision stands for now; offline, the one that is in the cache.

    Raises:
        HubError: The hub does not answer, or has no such repository or revision.
    """
    from huggingface_hub import constants

    if wanted.revision is not None and is_commit(wanted.revision):
        return wanted.revision
    if constants.HF_HUB_OFFLINE:
        return _cached_commit(wanted)
    described = _describe(wanted)
    if described.id != wanted.name:
        from rich.console import Console

        Console(stderr=True, highlight=False, soft_wrap=True).print(
            f"[yellow]warning:[/] the hub has renamed {wanted.name}; use "
            f"`{wanted.key}={described.id}`"
        )
    _remember(wanted, described.sha)
    return str(described.sha)


def download(wanted: Wanted, files: Sequence[str]) -> Path:
    """Return a folder with those files of a repository, fetched unless they are in the cache.

    Args:
        wanted: The repository.
        files: Patterns of names.

    Raises:
        HubError: They did not come, or came damaged.
    """
    from huggingface_hub import constants

    commit = resolve_commit(wanted)
    mark = _mark(wanted, commit, files)
    cached = _find_cached(wanted, commit, files)
    if cached is not None and (mark.is_file() or constants.HF_HUB_OFFLINE):
        return cached
    if constants.HF_HUB_OFFLINE:
        raise explain(_offline_error(), wanted)
    described = _describe(Wanted(**{**vars(wanted), "revision": commit}))
    folder = _fetch(wanted, commit, files)
    _verify(wanted, folder, described)
    mark.parent.mkdir(parents=True, exist_ok=True)
    mark.touch()
    return folder


def _describe(wanted: Wanted) -> Any:
    """Return what the hub says of a repository: its commit, and the files of a model."""
    from huggingface_hub import HfApi

    try:
        return HfApi().repo_info(
            wanted.name,
            revision=wanted.revision,
            repo_type=wanted.kind,
            files_metadata=wanted.kind == "model",
            timeout=patience.ANSWER_S,
        )
    except Exception as error:  # the hub's many classes; each means that it did not answer
        raise explain(error, wanted) from error


def _offline_error() -> Exception:
    from huggingface_hub.errors import OfflineModeIsEnabled

    return OfflineModeIsEnabled()


def _repository_folder(wanted: Wanted) -> Path:
    """Return where the hub's library keeps a repository."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE) / f"{wanted.kind}s--{wanted.name.replace('/', '--')}"


def _remember(wanted: Wanted, commit: str) -> None:
    """Note a revision's commit in the cache, where offline runs look it up."""
    file = _repository_folder(wanted) / "refs" / (wanted.revision or "main")
    with suppress(OSError):  # a cache that cannot be written is reported by the download
        file.parent.mkdir(parents=True, exist_ok=True)
        aside = file.with_name(f"{file.name}.{os.getpid()}")
        aside.write_text(commit, encoding="utf-8")
        aside.replace(file)


def _cached_commit(wanted: Wanted) -> str:
    file = _repository_folder(wanted) / "refs" / (wanted.revision or "main")
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        raise explain(_offline_error(), wanted) from None


def _find_cached(wanted: Wanted, commit: str, files: Sequence[str]) -> Path | None:
    """Return the folder of a commit in the cache, where it is whole as far as can be known."""
    from huggingface_hub import snapshot_download

    try:
        return Path(
            snapshot_download(
                wanted.name,
                revision=commit,
                repo_type=wanted.kind,
                allow_patterns=list(files),
                ignore_patterns=list(LEFT_OUT),
                local_files_only=True,
            )
        )
    except Exception:  # whatever it is, it is not there
        return None


def _mark(wanted: Wanted, commit: str, files: Sequence[str]) -> Path:
    """Return the file that says that a copy of these files is whole and compared with the hub."""
    kind = hashlib.sha256(json.dumps(list(files)).encode()).hexdigest()[:8]
    folder = _repository_folder(wanted)
    place = hashlib.sha256(str(folder.absolute()).encode()).hexdigest()[:8]
    return cache_dir() / "hub" / f"{folder.name}--{commit}-{kind}-{place}"


def _fetch(wanted: Wanted, commit: str, files: Sequence[str]) -> Path:
    """Download in a process of its own, ended when no byte comes any more."""
    order = {
        "repo_id": wanted.name,
        "revision": commit,
        "repo_type": wanted.kind,
        "allow_patterns": list(files),
        "ignore_patterns": list(LEFT_OUT),
        "etag_timeout": patience.ANSWER_S,
    }
    process = begin("infinito.hub.child", [order, vars(wanted)])
    try:
        answer = _await(process, wanted)
    finally:
        process.kill()
        process.communicate()  # closes its pipe
    if "fault" in answer:
        raise HubError(answer["fault"])
    return Path(answer["folder"])


def _await(process: subprocess.Popen[str], wanted: Wanted) -> Mapping[str, str]:
    """Return what a download says at its end."""
    done, since = _bytes_there(wanted), time.monotonic()
    begun = done
    while True:
        try:
            output, _ = process.communicate(timeout=LOOK_S)
        except subprocess.TimeoutExpired:
            now = _bytes_there(wanted)
            if now != done:
                done, since = now, time.monotonic()
            elif time.monotonic() - since > patience.STALL_S:
                raise stalled(wanted, patience.STALL_S, f"{(done - begun) / 1e6:.1f} MB") from None
            continue
        ended = f"the process that downloads it ended with code {process.returncode}"
        answer = read_answer(process, output)
        return answer or {"fault": str(explain(RuntimeError(ended), wanted))}


def _bytes_there(wanted: Wanted) -> int:
    """Return the bytes of a repository that have come, of unfinished files as well."""
    total = 0
    for file in (_repository_folder(wanted) / "blobs").glob("*"):
        try:
            total += file.stat().st_size
        except OSError:  # it was renamed at this moment
            continue
    return total


def _verify(wanted: Wanted, folder: Path, described: Any) -> None:
    """Compare files with the SHA-256 that the hub gives; delete one that differs.

    Raises:
        HubError: One differs.
    """
    for entry in described.siblings or ():
        expected = getattr(entry.lfs, "sha256", None) if entry.lfs else None
        file = folder / entry.rfilename
        if expected is None or not file.is_file():
            continue
        with file.open("rb") as content:
            received = hashlib.file_digest(content, "sha256").hexdigest()
        if received != expected:
            file.resolve().unlink()
            file.unlink(missing_ok=True)
            raise damaged(wanted, entry.rfilename, expected, received)
