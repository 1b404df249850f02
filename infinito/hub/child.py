"""The process that downloads: prints the folder of the files, or why they did not come.

Run by `infinito.hub.downloading` as `python -m infinito.hub.child <JSON>`.
"""

from __future__ import annotations

import json
import logging
import sys

from infinito.hub.children import leave_the_keyboard
from infinito.hub.faults import explain
from infinito.hub.names import Wanted
from infinito.hub.patience import limit_patience


def main(text: str) -> None:
    """Download what the JSON text describes, and print one line of JSON."""
    from huggingface_hub import snapshot_download

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # each retry would be a line
    leave_the_keyboard()
    limit_patience()
    order, wanted = json.loads(text)
    try:
        answer = {"folder": snapshot_download(**order)}
    except Exception as error:  # the hub's many classes; each is explained
        answer = {"fault": str(explain(error, Wanted(**wanted)))}
    print(json.dumps(answer))


if __name__ == "__main__":
    main(sys.argv[1])
