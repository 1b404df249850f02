"""Checkpoint files: whole or absent, checked on reading, never unpickled."""

from __future__ import annotations

import errno
import hashlib
import io
import os
import random
import resource
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.serialization import get_crc32_options, set_crc32_options
from xxhash import xxh3_128

from infinito.errors import CheckpointError
from infinito.models import checkpoint_file
from infinito.models.checkpoint_file import (
    FORMAT,
    link_checkpoint,
    read_checkpoint,
    write_checkpoint,
)

CONTENT: dict[str, Any] = {"infinito": {"format": FORMAT}, "w": torch.arange(64.0), "step": 3}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "a.ckpt"
    write_checkpoint(CONTENT, path)
    return path


def test_round_trip_and_plain_torch_reads_it(file: Path) -> None:
    assert torch.equal(read_checkpoint(file)["w"], CONTENT["w"])
    assert torch.equal(torch.load(file, weights_only=True)["w"], CONTENT["w"])
    assert zipfile.ZipFile(file).comment.startswith(b"infinito xxh3_128 ")


def test_a_mapped_checkpoint_outlives_its_replacement(file: Path) -> None:
    """What is read later comes from the file that was opened, and a change stays in memory."""
    mapped = read_checkpoint(file, mapped=True)["w"]
    write_checkpoint({**CONTENT, "w": torch.zeros(64)}, file)
    assert torch.equal(mapped, CONTENT["w"])
    mapped.add_(1)
    assert torch.equal(read_checkpoint(file)["w"], torch.zeros(64))


def test_the_bytes_are_those_of_torch_save(tmp_path: Path) -> None:
    """Torch reads what is written now, whatever pieces `torch.save` writes it in."""
    content = {**CONTENT, "large": torch.rand(1 << 19), "none": torch.empty(0), "views": [1.5] * 9}
    write_checkpoint(content, tmp_path / "a.ckpt")
    assert get_crc32_options()  # the setting is torch's again
    buffer = io.BytesIO()
    set_crc32_options(False)
    try:
        torch.save(content, buffer)
    finally:
        set_crc32_options(True)
    written = (tmp_path / "a.ckpt").read_bytes()
    whole = buffer.getvalue()[:-2]
    comment = b"infinito xxh3_128 " + xxh3_128(whole).hexdigest().encode()
    assert written == whole + len(comment).to_bytes(2, "little") + comment


def test_a_checkpoint_with_crc32_sums_and_sha256_opens(tmp_path: Path) -> None:
    """As versions until 0.2 wrote them; damage is found there, too."""
    buffer = io.BytesIO()
    torch.save(CONTENT, buffer)
    whole = buffer.getvalue()[:-2]
    comment = b"infinito sha256 " + hashlib.sha256(whole).hexdigest().encode()
    old = tmp_path / "old.ckpt"
    old.write_bytes(whole + len(comment).to_bytes(2, "little") + comment)
    assert zipfile.ZipFile(old).testzip() is None
    assert torch.equal(read_checkpoint(old)["w"], CONTENT["w"])
    old.write_bytes(old.read_bytes().replace(b"archive", b"archivf", 1))
    with pytest.raises(CheckpointError, match=r"old\.ckpt is damaged: its content does not match"):
        read_checkpoint(old)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads Linux's /proc")
@pytest.mark.parametrize("work", ["write_checkpoint(content, path)", "_verify(path)"])
def test_no_copy_of_the_state_is_made(tmp_path: Path, work: str) -> None:
    """A state of 256 MiB is saved and checked in 64 MiB of memory at most."""
    code = (
        "import pathlib, sys, torch\n"
        "from infinito.models.checkpoint_file import _verify, write_checkpoint\n"
        "path, status = pathlib.Path(sys.argv[1]), pathlib.Path('/proc/self/status')\n"
        "def mib(name):\n"
        "    lines = status.read_text().splitlines()\n"
        "    return next(int(each.split()[1]) for each in lines if each.startswith(name)) / 1024\n"
        "content = {'infinito': {'format': 1}, 'w': [torch.ones(1 << 23) for _ in range(8)]}\n"
        "write_checkpoint(content, path)\n"
        "pathlib.Path('/proc/self/clear_refs').write_text('5')\n"
        "before = mib('VmRSS')\n"
        f"{work}\n"
        "print(mib('VmHWM') - before)\n"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "a.ckpt")], capture_output=True, text=True
    )
    assert float(finished.stdout) < 64, finished.stderr


def test_a_second_name_shares_the_bytes_until_one_is_replaced(file: Path) -> None:
    other = file.with_name("b.ckpt")
    other.write_bytes(b"old")
    assert link_checkpoint(file, other)
    assert file.samefile(other)
    write_checkpoint({**CONTENT, "step": 4}, file)
    assert read_checkpoint(other)["step"] == 3
    assert read_checkpoint(file)["step"] == 4
    assert not other.with_name("b.ckpt.partial").exists()


def test_a_file_system_without_hard_links_is_told(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", refuse)
    assert not link_checkpoint(file, file.with_name("b.ckpt"))
    assert not file.with_name("b.ckpt").exists()


def test_every_flipped_byte_is_noticed(file: Path) -> None:
    whole = file.read_bytes()
    places = random.Random(0).sample(range(len(whole)), 150)
    for place in [0, len(whole) - 1, *places]:
        damaged = bytearray(whole)
        damaged[place] ^= 0x10
        file.write_bytes(bytes(damaged))
        with pytest.raises(CheckpointError, match=r"a\.ckpt"):
            read_checkpoint(file)


def test_a_file_is_hashed_once_until_it_changes(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[Path] = []
    verify = checkpoint_file._verify

    def count(path: Path) -> None:
        hashed.append(path)
        verify(path)

    monkeypatch.setattr(checkpoint_file, "_verify", count)
    read_checkpoint(file)
    read_checkpoint(file)
    assert hashed == [file, file]  # just written: its next change may have the same time
    long_ago = file.stat().st_mtime - 60
    os.utime(file, (long_ago, long_ago))
    link_checkpoint(file, file.with_name("b.ckpt"))
    for path in (file, file, file.with_name("b.ckpt")):
        read_checkpoint(path)
    assert hashed[2:] == [file]
    whole = bytearray(file.read_bytes())
    whole[100] ^= 1
    file.write_bytes(whole)
    with pytest.raises(CheckpointError, match="damaged"):
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
