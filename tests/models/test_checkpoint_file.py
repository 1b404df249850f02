"""Checkpoint files: whole or absent, checked on reading, never unpickled."""

from __future__ import annotations

import random
import resource
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from infinito.errors import CheckpointError
from infinito.models.checkpoint_file import FORMAT, read_checkpoint, write_checkpoint

CONTENT = {"infinito": {"format": FORMAT}, "w": torch.arange(64.0), "step": 3}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.ckpt"
    write_checkpoint(CONTENT, path)
    return path


def test_round_trip_and_plain_torch_and_zip_read_it(file: Path) -> None:
    assert torch.equal(read_checkpoint(file)["w"], CONTENT["w"])
    assert torch.equal(torch.load(file, weights_only=True)["w"], CONTENT["w"])
    assert zipfile.ZipFile(file).testzip() is None


def test_every_flipped_byte_is_noticed(file: Path) -> None:
    whole = file.read_bytes()
    places = random.Random(0).sample(range(len(whole)), 150)
    for place in [0, len(whole) - 1, *places]:
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        file.write_bytes(bytes(damaged))
        with pytest.raises(CheckpointError, match=r"a\.ckpt"):
            read_checkpoint(file)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_truncated_files_are_refused(file: Path, share: float) -> None:
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(CheckpointError, match=r"truncated|damaged"):
        read_checkpoint(file)


class Harmful:
    """Pickles to a call of a function."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("code from a checkpoint ran",)


def test_pickled_code_is_refused_and_does_not_run(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_checkpoint({**CONTENT, "x": Harmful()}, tmp_path / "bad.ckpt")
    with pytest.raises(CheckpointError, match="could run code"):
        read_checkpoint(tmp_path / "bad.ckpt")
    assert "ran" not in capsys.readouterr().out


def test_foreign_newer_missing_and_remote_files_are_refused(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(2)}, tmp_path / "foreign.ckpt")
    with pytest.raises(CheckpointError, match="carries no checksum"):
        read_checkpoint(tmp_path / "foreign.ckpt")
    write_checkpoint({"infinito": {"format": FORMAT + 1}}, tmp_path / "newer.ckpt")
    with pytest.raises(CheckpointError, match="update infinito"):
        read_checkpoint(tmp_path / "newer.ckpt")
    write_checkpoint({"w": torch.zeros(2)}, tmp_path / "bare.ckpt")
    with pytest.raises(CheckpointError, match="lacks its description"):
        read_checkpoint(tmp_path / "bare.ckpt")
    with pytest.raises(CheckpointError, match="there is no checkpoint file"):
        read_checkpoint(tmp_path / "absent.ckpt")
    with pytest.raises(CheckpointError, match="is a URL"):
        read_checkpoint("https://example.org/a.ckpt")


def test_a_full_disk_leaves_the_previous_checkpoint(file: Path) -> None:
    """The kernel refuses to let the file grow, as it does when the disk is full."""
    code = (
        "import resource, sys, torch\n"
        "from infinito.models.checkpoint_file import write_checkpoint\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "content = {'infinito': {'format': 1}, 'w': torch.zeros(9999)}\n"
        "write_checkpoint(content, __import__('pathlib').Path(sys.argv[1]))\n"
    )
    assert resource.RLIMIT_FSIZE is not None
    finished = subprocess.run(
        [sys.executable, "-c", code, str(file)], capture_output=True, text=True
    )
    assert "SaveError" in finished.stderr
    assert str(file) in finished.stderr
    assert torch.equal(read_checkpoint(file)["w"], CONTENT["w"])
    assert not file.with_name("a.ckpt.partial").exists()
