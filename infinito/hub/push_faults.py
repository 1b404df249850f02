"""One sentence for each way in which the hub does not take a model: what happened, what mends it.

Classes are recognised by their names, as in `infinito.hub.faults`.
"""

from __future__ import annotations

from infinito.hub.faults import LOG_IN, chain, first_line
from infinito.wording import escape_controls


class Stalled(Exception):
    """No byte went or came for some seconds."""

    def __init__(self, waited_s: float) -> None:
        self.waited_s = waited_s
        super().__init__(f"no byte for {waited_s:g} seconds")


def explain_push(error: BaseException, name: str) -> str:
    """Return what happened and how to mend it, as two sentences without the last full stop.

    Args:
        error: Whatever a library raised; what caused it is looked at as well.
        name: Of the repository, owner/name.
    """
    for tells in (_unfit, _refused, _unreachable):
        for each in chain(error):
            if (judged := tells(each, name)) is not None:
                cause, mend = judged
                return f"{escape_controls(cause)}. {mend}"
    causes = ": ".join(first_line(each).rstrip(". ") for each in chain(error))
    return f"{escape_controls(causes)}. Check the name and your rights"


def _unfit(error: BaseException, _: str) -> tuple[str, str] | None:
    """Judge what is wrong with the files themselves."""
    if "Invalid metadata in README.md" not in str(error):
        return None
    return "the head of its README.md is no valid YAML (" + " ".join(str(error).split()) + ")", (
        "Mend it"
    )


def _refused(error: BaseException, name: str) -> tuple[str, str] | None:
    """Judge what the hub answered."""
    from huggingface_hub import get_token

    response = getattr(error, "response", None)
    status = getattr(response, "status_code", None)
    if response is None or status is None:
        return None
    owner = name.partition("/")[0]
    said = getattr(error, "server_message", None) or f"HTTP {status}"
    said = " ".join(str(said).split()).rstrip(".")
    if status == 401 and get_token() is None:
        return "this machine has no token", f"With one that may write, {LOG_IN}"
    if status == 401:
        return "the hub refuses the token of this machine", f"With a valid one, {LOG_IN}"
    if status == 403:
        return (
            f"the token of this machine may not write there ({said})",
            f"Use one with the right to write to {owner}'s models, or a name of your own",
        )
    if status == 404:
        return (
            f"the hub has no owner {owner}, or no such model any more ({said})",
            "Check the spelling; the owner is you or an organization of yours",
        )
    if status == 409:
        return "something else changes it at this moment", "Try again"
    if status == 429:
        wait = response.headers.get("Retry-After", "")
        pause = f"{wait} seconds" if wait.isdigit() else "some minutes"
        return "the hub has had too many requests from here", f"Wait {pause}"
    if status >= 500:
        return f"the hub has a fault of its own (HTTP {status})", "Try again later"
    return f"the hub refuses it: {said}", "Check the name and your rights"


def _unreachable(error: BaseException, _: str) -> tuple[str, str] | None:
    """Judge what kept the hub from answering."""
    from huggingface_hub import constants

    classes = {kind.__name__ for kind in type(error).__mro__}
    if isinstance(error, Stalled):
        return f"no byte went or came for {error.waited_s:g} seconds", "Try again later"
    if "OfflineModeIsEnabled" in classes:
        return "HF_HUB_OFFLINE=1 keeps this machine from the hub", "Unset it"
    if classes & {"ConnectError", "ConnectTimeout", "ProxyError"}:
        return f"the hub cannot be reached at {constants.ENDPOINT}", (
            "Check the network (and HTTPS_PROXY, HF_ENDPOINT)"
        )
    if classes & {"TransportError", "ConnectionError"}:
        return f"the connection was lost ({first_line(error)})", "Try again"
    if "JSONDecodeError" in classes:
        return f"what answers at {constants.ENDPOINT} is no hub", (
            "Check HF_ENDPOINT, or a log-in page or proxy of your network"
        )
    return None
