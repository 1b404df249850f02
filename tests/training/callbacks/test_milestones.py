"""A checkpoint that is best and last is one file with two names."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from infinito.models.checkpoint_file import read_checkpoint

Trained = Callable[..., Path]


def test_best_and_last_share_their_bytes(trained: Trained) -> None:
    checkpoints = trained() / "checkpoints"
    assert (checkpoints / "best.ckpt").samefile(checkpoints / "last.ckpt")


def test_without_hard_links_both_are_written(
    trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    link = os.link

    def refuse(old: Path, new: Path) -> None:
        if "ckpt" in new.name:
            raise OSError(errno.EPERM, "Operation not permitted")
        link(old, new)

    monkeypatch.setattr("os.link", refuse)
    folder = trained()
    best, last = (folder / f"checkpoints/{name}.ckpt" for name in ("best", "last"))
    assert not best.samefile(last)
    one, other = (read_checkpoint(path)["state_dict"] for path in (best, last))
    assert all(torch.equal(one[name], other[name]) for name in one)
