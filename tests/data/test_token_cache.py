"""Cached tokens are shared, checked and rebuilt; two real processes write once."""

import subprocess
import sys

import numpy as np
import pytest

from infinito.data.encoding import TokenChunk, tokenizer_fingerprint
from infinito.data.token_cache import TokenCache
from infinito.data.tokenizers import BpeTokenizer

IDS = np.arange(1000, dtype=np.uint16)


class Writer:
    """Yields the ids in two chunks and counts how often it was asked to."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self):
        self.calls += 1
        yield TokenChunk(IDS[:300], utf8_bytes=10, words=2, documents=0)
        yield TokenChunk(IDS[300:], utf8_bytes=20, words=3, documents=1)


def open_tokens(folder, writer):
    return TokenCache(folder).tokens("key", np.dtype(np.uint16), writer)


def test_ids_and_counts_come_back(tmp_path):
    tokens = open_tokens(tmp_path, Writer())
    np.testing.assert_array_equal(np.fromfile(tokens.path, dtype=tokens.meta.dtype), IDS)
    meta = tokens.meta
    assert (meta.tokens, meta.utf8_bytes, meta.words, meta.documents) == (1000, 30, 5, 1)


def test_the_second_opening_writes_nothing(tmp_path):
    writer = Writer()
    assert open_tokens(tmp_path, writer) == open_tokens(tmp_path, writer)
    assert writer.calls == 1


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "flipped bit": flip,
    "truncated": lambda path: path.write_bytes(path.read_bytes()[:-2]),
    "longer": lambda path: path.write_bytes(path.read_bytes() + b"ab"),
    "gone": lambda path: path.unlink(),
    "empty": lambda path: path.write_bytes(b""),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
@pytest.mark.parametrize("suffix", [".ids", ".json"])
def test_a_damaged_file_is_written_again(tmp_path, damage, suffix):
    writer = Writer()
    expected = open_tokens(tmp_path, writer)
    damage(expected.path.with_suffix(suffix))
    again = open_tokens(tmp_path, writer)
    np.testing.assert_array_equal(np.fromfile(again.path, dtype=np.uint16), IDS)
    assert again == expected
    assert writer.calls == 2


def test_an_error_while_writing_leaves_nothing_behind(tmp_path):
    def chunks():
        yield from Writer()()
        raise ValueError("unreadable text")

    with pytest.raises(ValueError, match="unreadable text"):
        open_tokens(tmp_path, chunks)
    assert not list(tmp_path.rglob("*.ids")) + list(tmp_path.rglob("*.partial"))
    assert open_tokens(tmp_path, Writer()).meta.tokens == 1000


def train():
    return BpeTokenizer(258).build(["ab ab"], separates_documents=True)


@pytest.mark.parametrize("damage", [None, *DAMAGE.values()], ids=["sound", *DAMAGE])
def test_a_tokenizer_is_trained_once_and_again_if_damaged(tmp_path, damage):
    calls = []
    cache = TokenCache(tmp_path)

    def counted():
        calls.append(1)
        return train()

    first = cache.tokenizer("key", counted)
    if damage is not None:
        damage(next(tmp_path.rglob("key*.json")))
    again = cache.tokenizer("key", counted)
    assert tokenizer_fingerprint(again) == tokenizer_fingerprint(first)
    assert tokenizer_fingerprint(again) == tokenizer_fingerprint(train())
    assert again.special_tokens_map == first.special_tokens_map
    assert len(calls) == (1 if damage is None else 2)


PROCESS = """
import sys, time
from pathlib import Path
import numpy as np
from infinito.data.encoding import TokenChunk
from infinito.data.token_cache import TokenCache

folder = Path(sys.argv[1])

def chunks():
    with (folder / "writers").open("a") as file:
        file.write("x")
    for n in range(20):
        time.sleep(0.05)
        yield TokenChunk(np.full(1000, n, dtype=np.uint16), 1, 1, 0)

(folder / f"ready {sys.argv[2]}").touch()
while len(list(folder.glob("ready *"))) < 2:
    time.sleep(0.001)
tokens = TokenCache(folder / "cache").tokens("key", np.dtype(np.uint16), chunks)
print(tokens.meta.sha256, tokens.meta.tokens)
"""


def start(tmp_path, name):
    command = [sys.executable, "-c", PROCESS, str(tmp_path), name]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_of_two_processes_that_start_at_once_one_writes(tmp_path):
    processes = [start(tmp_path, name) for name in "ab"]
    outputs = [process.communicate(timeout=120)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    assert outputs[0] == outputs[1]
    assert outputs[0].endswith(" 20000\n")
    assert (tmp_path / "writers").read_text() == "x"


def test_a_killed_writer_leaves_its_lock_free_and_no_half_file(tmp_path):
    (tmp_path / "ready other").touch()
    process = start(tmp_path, "killed")
    while not list(tmp_path.rglob("*.partial")):
        assert process.poll() is None
    process.kill()
    process.communicate()
    assert not list((tmp_path / "cache").rglob("*.ids"))
    output, _ = start(tmp_path, "next").communicate(timeout=120)
    assert output.endswith(" 20000\n")
    assert not list(tmp_path.rglob("*.partial"))
