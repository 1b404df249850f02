"""The process that makes a repository, or sends a folder to it, and prints the outcome.

Run by `infinito.hub.pushing` as `python -m infinito.hub.push_child <JSON>`.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from infinito.hub.children import leave_the_keyboard
from infinito.hub.push_faults import Stalled, explain_push


def main(text: str) -> None:
    """Do what the JSON text describes, and print one line of JSON."""
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # each retry would be a line
    leave_the_keyboard()
    print(json.dumps(answer(**json.loads(text))))


def answer(name: str, private: bool, folder: str | None, patience_s: float) -> dict[str, str]:
    """Return the address of a repository that takes files, or of what was sent; or the fault.

    Args:
        name: Its name, owner/name.
        private: Whether a new one is.
        folder: What to send; None to make the repository and check that it takes files.
        patience_s: Seconds without a byte after which the hub is given up.
    """
    from huggingface_hub import HfApi, set_client_factory

    set_client_factory(lambda: build_client(patience_s))
    hub = HfApi()
    try:
        if folder is not None:
            message = "Upload by infinito"
            sent = hub.upload_folder(repo_id=name, folder_path=folder, commit_message=message)
            return {"address": sent.commit_url}
        address = hub.create_repo(name, private=private, exist_ok=True)
        hub.auth_check(name, write=True)
    except Exception as error:  # the hub's many classes; each is explained
        return {"fault": explain_push(error, name)}
    return {"address": str(address)}


def build_client(patience_s: float) -> Any:
    """Return the library's HTTP client with an end to its patience.

    The library repeats a request that took too long up to five times, and one that is refused as
    one too many after as long as the hub demands.

    Args:
        patience_s: Seconds without a byte after which the client raises `Stalled`.
    """
    from huggingface_hub.utils._http import default_client_factory, hf_raise_for_status

    usual = default_client_factory()

    class Client(type(usual)):  # type: ignore[misc]  # of httpx, or of what follows it
        def send(self, request: Any, **options: Any) -> Any:
            try:
                response = super().send(request, **options)
            except Exception as error:
                if type(error).__name__.endswith(("ReadTimeout", "WriteTimeout")):
                    raise Stalled(patience_s) from error
                raise
            if "Retry-After" in response.headers or response.status_code == 429:
                hf_raise_for_status(response)
            return response

    hooks, redirects = usual.event_hooks, usual.follow_redirects
    return Client(event_hooks=hooks, follow_redirects=redirects, timeout=patience_s)


if __name__ == "__main__":
    main(sys.argv[1])
