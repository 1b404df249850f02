"""One sentence for each way in which the hub does not deliver: what happened and what mends it.

Classes are recognised by their names: those of the HTTP client and of the hub's library differ
between versions.
"""

from __future__ import annotations

import errno
from collections.abc import Iterator

from infinito.errors import HubError
from infinito.hub.names import Wanted
from infinito.wording import escape_controls

LOG_IN = "log in with `hf auth login` or set HF_TOKEN"
AGAIN = "Repeat the command later: what has come is kept and the rest is fetched"


def explain(error: BaseException, wanted: Wanted) -> HubError:
    """Return the error that says why the hub did not deliver, with what to do about it.

    Args:
        error: Whatever a library raised; what caused it is looked at as well.
        wanted: What was to be fetched.
    """
    if isinstance(error, HubError):
        return error
    cause, mend = _judge(error, wanted)
    cause = escape_controls(cause).rstrip(". ")
    return HubError(
        f"The hub could not give the {wanted.what} {wanted.name}: {cause}. {mend}, or use a local "
        f"copy with {wanted.mend}."
    )


def stalled(wanted: Wanted, waited_s: float, done: str) -> HubError:
    """Return the error for a download of which no byte comes any more."""
    return HubError(
        f"The hub could not give the {wanted.what} {wanted.name}: no byte came for {waited_s:g} "
        f"seconds, after {done}. {AGAIN}, or use a local copy with {wanted.mend}."
    )


def damaged(wanted: Wanted, file: str, expected: str, received: str) -> HubError:
    """Return the error for a file that is not the one that the hub describes."""
    return HubError(
        f"The hub could not give the {wanted.what} {wanted.name}: {file} came damaged, its SHA-256 "
        f"is {received[:12]}… where the hub says {expected[:12]}…; it was deleted. Repeat the "
        f"command to fetch it again, or use a local copy with {wanted.mend}."
    )


def _judge(error: BaseException, wanted: Wanted) -> tuple[str, str]:
    """Return what happened and how to mend it, by the error of the chain that tells most."""
    for tells in (_refused, _unreachable, _unreadable, _lost):
        for each in chain(error):
            classes = {kind.__name__ for kind in type(each).__mro__}
            if (judged := tells(each, classes, wanted)) is not None:
                return judged
    return first_line(error), "Check the name and its files on the hub"


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what caused it, the outermost first."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _refused(error: BaseException, classes: set[str], wanted: Wanted) -> tuple[str, str] | None:
    """Judge what the hub answered."""
    status = getattr(getattr(error, "response", None), "status_code", None)
    if "GatedRepoError" in classes or "is a gated dataset" in str(error):
        mend = f"Accept its terms at {wanted.page}"
        then = " with the account of this machine's token" if _has_token() else f" and {LOG_IN}"
        return "it is given only to those who accepted its terms", mend + then
    if "DisabledRepoError" in classes:
        return "the hub has disabled it", "Choose another"
    if "RevisionNotFoundError" in classes:
        return (
            f"it has no revision {wanted.revision}",
            f"Use a branch, tag or commit of {wanted.page}, e.g. {wanted.revision_key}=main",
        )
    if "Invalid credentials" in str(error) or (
        status == 401 and "RepositoryNotFoundError" not in classes
    ):
        return (
            "it refuses the token of this machine",
            "Renew it with `hf auth login`, or unset HF_TOKEN for what is public",
        )
    if "RepositoryNotFoundError" in classes:
        private = "the token of this machine may not read it" if _has_token() else "it is private"
        mend = "choose a token that may read it" if _has_token() else LOG_IN
        return (
            f"no {_noun(wanted)} of that name is there, or {private}",
            f"Check the spelling of {wanted.key}; for a private one, {mend}",
        )
    if status == 429:
        wait = error.response.headers.get("Retry-After")  # type: ignore[attr-defined]
        pause = f"{wait} seconds" if wait and wait.isdigit() else "some minutes"
        more = "" if _has_token() else f"; requests with a token may be more: {LOG_IN}"
        return "it has had too many requests from here", f"Wait {pause} and repeat{more}"
    if status is not None and status >= 500:
        return f"it has a fault of its own (HTTP {status})", AGAIN
    if status is not None and status != 404:  # what is not there is judged by its class, later
        server = getattr(error, "server_message", None) or f"HTTP {status}"
        return f"it refuses the request: {server}", "Check the rights of your token"
    return None


def _unreachable(error: BaseException, classes: set[str], wanted: Wanted) -> tuple[str, str] | None:
    """Judge what kept the hub from answering, or its answer from being stored."""
    from huggingface_hub import constants

    if "HFValidationError" in classes:
        return f"{wanted.name!r} is no id of the hub", "Expected owner/name"
    if constants.HF_HUB_OFFLINE and classes & {
        "OfflineModeIsEnabled",
        "LocalEntryNotFoundError",
        "OfflineModeIsEnabledError",
    }:
        what = f"revision {wanted.revision or 'main'} of it"
        return (
            f"HF_HUB_OFFLINE=1, and {what} is not whole in the cache {constants.HF_HUB_CACHE}",
            "Unset HF_HUB_OFFLINE to download it",
        )
    if any(name.endswith(("Timeout", "TimeoutException", "TimeoutError")) for name in classes):
        return "no answer came in time", AGAIN + _offline()
    if classes & {"ConnectError", "ProxyError"}:
        return f"it cannot be reached at {constants.ENDPOINT}", (
            "Check the network (and HTTPS_PROXY, HF_ENDPOINT)" + _offline()
        )
    if isinstance(error, OSError) and error.errno in {
        errno.ENOSPC,
        errno.EDQUOT,
        errno.EACCES,
        errno.EROFS,
        errno.EPERM,
        errno.ENOTDIR,
    }:
        place = error.filename or constants.HF_HUB_CACHE
        return f"{place} cannot be written: {error.strerror}", (
            "Make room there, or choose another cache with HF_HOME=<folder>"
        )
    if classes & {"JSONDecodeError"}:
        return f"what answers at {constants.ENDPOINT} is no hub", (
            "Check HF_ENDPOINT, or a log-in page or proxy of your network"
        )
    return None


def _unreadable(error: BaseException, classes: set[str], wanted: Wanted) -> tuple[str, str] | None:
    """Judge a data set whose files came and cannot be used."""
    text = str(error)
    if "scripts are no longer supported" in text:
        return (
            "a script makes it, which infinito never runs",
            "Use the files that the hub has made of it with "
            f"{wanted.revision_key}=refs/convert/parquet",
        )
    if "Config name is missing" in text or "BuilderConfig" in text:
        message = " ".join(text.split())
        return message, "Choose one with data.subset=<name>"
    if classes & {"DataFilesNotFoundError", "EmptyDatasetError"}:
        return "it holds no files that `datasets` reads", "Choose another"
    return None


def _lost(error: BaseException, classes: set[str], _: Wanted) -> tuple[str, str] | None:
    """Judge what often comes with an error that tells more."""
    if classes & {"TransportError", "ConnectionError", "IncompleteRead", "ProtocolError"}:
        return f"the connection was lost ({first_line(error)})", AGAIN + _offline()
    if "EntryNotFoundError" in classes and "LocalEntryNotFoundError" not in classes:
        return f"a file of it is missing: {first_line(error)}", "Choose another revision"
    return None


def _offline() -> str:
    return ", set HF_HUB_OFFLINE=1 if it has been downloaded before"


def _noun(wanted: Wanted) -> str:
    return "data set" if wanted.kind == "dataset" else "model"


def _has_token() -> bool:
    from huggingface_hub import get_token

    return get_token() is not None


def first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
