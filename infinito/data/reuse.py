"""Text and tokens that the runs of one process share: the trials of a sweep read them once."""

from __future__ import annotations

import copy
from dataclasses import replace
from functools import lru_cache

from infinito.config import RunConf
from infinito.data.assembly import build_data_module
from infinito.data.datamodule import LanguageDataModule


def reused_data(conf: RunConf) -> LanguageDataModule:
    """Return the data of a run, text and tokens shared with earlier runs of this process."""
    fresh = build_data_module(conf)
    same = replace(conf.data, batch_size=1, eval_batch_size=None, workers=0)
    data = copy.copy(_read(_Same(replace(conf, data=same))))
    for name in ("batch_size", "eval_batch_size", "seed", "workers"):
        setattr(data, name, getattr(fresh, name))
    return data


class _Same:
    """A run that equals every other with the same text and tokenizer."""

    def __init__(self, conf: RunConf) -> None:
        self.conf = conf
        self.key = repr((conf.data, conf.tokenizer))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.key == other.key

    def __hash__(self) -> int:
        return hash(self.key)


@lru_cache(maxsize=4)
def _read(same: _Same) -> LanguageDataModule:
    data = build_data_module(same.conf)
    for split in ("train", "valid"):
        data.split_meta(split)
    return data
