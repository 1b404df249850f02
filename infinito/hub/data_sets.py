"""Opens data sets of the hub through the `datasets` library, whose many errors become sentences."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from infinito.errors import InfinitoError
from infinito.extras import require_extra
from infinito.hub.downloading import resolve_commit
from infinito.hub.faults import explain
from infinito.hub.names import Wanted
from infinito.hub.patience import limit_patience


def open_data_set(wanted: Wanted, subset: str | None = None, **options: Any) -> Any:
    """Return what `datasets.load_dataset` opens, at the commit that the revision stands for.

    Args:
        wanted: The data set.
        subset: The part of it, where it has several.
        options: Of `load_dataset`.

    Raises:
        MissingExtraError: `datasets` is not installed.
        HubError: The hub could not give it, or it is none that can be read.
    """
    require_extra("datasets")
    import datasets

    limit_patience()
    commit = resolve_commit(wanted)
    with explained(wanted):
        return datasets.load_dataset(wanted.name, subset, revision=commit, **options)


@contextmanager
def explained(wanted: Wanted) -> Iterator[None]:
    """Raise as HubError whatever the libraries raise inside, when files of the hub are read."""
    try:
        yield
    except InfinitoError:
        raise
    except Exception as error:  # the classes of several libraries
        raise explain(error, wanted) from error
