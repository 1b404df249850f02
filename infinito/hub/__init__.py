"""The Hugging Face hub: its names, the commits that they stand for, downloads, and their faults."""

from infinito.hub.data_sets import explained, open_data_set
from infinito.hub.downloading import (
    MODEL_FILES,
    TOKENIZER_FILES,
    download,
    model_folder,
    resolve_commit,
)
from infinito.hub.faults import explain
from infinito.hub.names import Wanted, is_commit, is_hub_id, names_a_folder
from infinito.hub.patience import limit_patience
from infinito.hub.pushing import claim_repository, push_model

__all__ = [
    "MODEL_FILES",
    "TOKENIZER_FILES",
    "Wanted",
    "claim_repository",
    "download",
    "explain",
    "explained",
    "is_commit",
    "is_hub_id",
    "limit_patience",
    "model_folder",
    "names_a_folder",
    "open_data_set",
    "push_model",
    "resolve_commit",
]
