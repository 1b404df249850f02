"""Files appear whole or not at all, also on a full disk."""

import hashlib
import resource
import signal

import pytest

from infinito.errors import SaveError
from infinito.storage import locked, sha256_of_file, written_whole


def test_a_file_is_replaced_when_the_block_ends(tmp_path):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with written_whole(target) as file:
        file.write(b"new")
        assert target.read_bytes() == b"old"
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_an_error_leaves_the_old_file_and_no_other(tmp_path):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    with pytest.raises(TypeError), written_whole(target) as file:
        file.writelines([b"half", None])  # type: ignore[list-item]
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


@pytest.fixture
def small_files():
    """No file of this process may grow beyond 64 KiB, as on a full disk."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, limits[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    signal.signal(signal.SIGXFSZ, handler)


@pytest.mark.usefixtures("small_files")
def test_a_full_disk_leaves_the_old_file_and_names_the_override(tmp_path):
    target = tmp_path / "a"
    target.write_bytes(b"old")
    message = r"Cannot write .*a: File too large.*data\.cache_dir="
    with pytest.raises(SaveError, match=message), written_whole(target) as file:
        file.write(bytes(1 << 17))
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_a_folder_that_cannot_be_made_names_the_override(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(SaveError, match=r"data\.cache_dir="),
        locked(tmp_path / "file" / "deeper" / "a"),
    ):
        pass


def test_checksum_of_a_range(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"0123456789")
    assert sha256_of_file(path, 2, 5) == hashlib.sha256(b"234").hexdigest()
    assert sha256_of_file(path) == hashlib.sha256(b"0123456789").hexdigest()
    path.write_bytes(content := bytes(range(256)) * 8200)  # two pieces of a mebibyte, and some
    assert sha256_of_file(path) == hashlib.sha256(content).hexdigest()
    assert sha256_of_file(path, 5) == hashlib.sha256(content[5:]).hexdigest()
