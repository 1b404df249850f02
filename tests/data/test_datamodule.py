"""The whole way from a source to batches."""

import math
import subprocess
import sys

import pytest
import torch

from infinito.data.datamodule import LanguageDataModule
from infinito.data.sources import MarkovSource, PythonDocs, TextFiles, WikiText2
from infinito.data.tokenizers import BpeTokenizer, CharTokenizer, WordTokenizer
from infinito.errors import ConfigError, DataError


@pytest.fixture
def make(tmp_path):
    def make(source, tokenizer, **options):
        settings = {"block_size": 8, "batch_size": 4, "cache_dir": tmp_path / "cache"} | options
        return LanguageDataModule(source, tokenizer, **settings)

    return make


@pytest.fixture
def text_file(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("".join(f"line {n} of the text\n" for n in range(500)))
    return path


def test_batches_decode_to_the_text(make, text_file):
    data = make(TextFiles(text_file), CharTokenizer(unknown=False))
    text = text_file.read_text()
    batch = next(iter(data.train_dataloader()))
    assert batch.shape == (4, 9)
    assert batch.dtype == torch.int64
    assert all(data.tokenizer.decode(window) in text for window in batch)
    assert data.vocab_size == len(set(text))


def test_tiny_shakespeare_is_the_standard_recipe(make, shared_data):
    source = TextFiles(shared_data / "tinyshakespeare/input.txt", test_fraction=0)
    data = make(source, CharTokenizer(unknown=False), block_size=64, batch_size=12)
    assert data.vocab_size == 65
    assert [data.split_meta(s).tokens for s in ("train", "valid")] == [1_003_836, 111_558]
    assert data.split_meta("valid").utf8_bytes == 111_558


def test_wikitext2_has_the_published_word_counts(make, shared_data):
    data = make(WikiText2(shared_data / "wikitext-2"), WordTokenizer())
    assert data.vocab_size == 33_278
    for split, words in (("train", 2_088_628), ("valid", 217_646)):
        meta = data.split_meta(split)
        assert (meta.tokens, meta.words) == (words, words)


def test_python_docs_supports_the_vocabularies_of_the_experiments(make, docs_cache):
    source = PythonDocs(cache_dir=docs_cache)
    data = make(source, BpeTokenizer(10_000), block_size=128)
    assert data.vocab_size == 10_000
    meta = data.split_meta("train")
    assert meta.documents > 200
    assert meta.tokens > 300_000
    assert len(data.train_dataloader()) > 500


def test_the_test_split_stays_closed_until_it_is_asked_for(make, text_file, monkeypatch):
    source = TextFiles(text_file)
    opened = []

    def noting(method):
        def noted(split):
            opened.append(split)
            return method(split)

        return noted

    monkeypatch.setattr(source, "documents", noting(source.documents))
    monkeypatch.setattr(source, "fingerprint", noting(source.fingerprint))
    data = make(source, BpeTokenizer(260))
    list(data.train_dataloader())
    list(data.val_dataloader())
    assert set(opened) == {"train", "valid"}
    assert len(list(data.test_dataloader())) > 0
    assert "test" in opened


def test_bpe_and_word_vocabularies_come_from_the_training_split_only(make, tmp_path):
    (tmp_path / "b.txt").write_text("only these words\n" * 90 + "never seen zebras\n" * 10)
    source = TextFiles(tmp_path / "b.txt", valid_fraction=0.1, test_fraction=0)
    words = make(source, WordTokenizer())
    assert "zebras" not in words.tokenizer.get_vocab()
    valid = words.blocks("valid")[0]
    assert words.tokenizer.unk_token_id in valid


def test_options_that_change_the_tokens_do_not_share_a_cache(make, text_file):
    counts = {
        make(TextFiles(text_file), spec).split_meta("train").tokens
        for spec in (CharTokenizer(), BpeTokenizer(260), BpeTokenizer(270), WordTokenizer())
    }
    assert len(counts) == 4


def test_a_second_datamodule_trains_and_tokenises_nothing(make, text_file, monkeypatch):
    source = TextFiles(text_file)
    expected = make(source, BpeTokenizer(260)).split_meta("train")
    monkeypatch.setattr(source, "documents", lambda _: pytest.fail("read again"))
    assert make(source, BpeTokenizer(260)).split_meta("train") == expected


def test_markov_batches_have_the_entropy_of_the_chain(make):
    source = MarkovSource(8, train_tokens=50_000)
    data = make(source, None)
    ids = torch.cat([batch[:, :-1].flatten() for batch in data.eval_dataloader("train")])
    assert source.nats_per_token(ids.numpy()) == pytest.approx(source.entropy_rate_nats, abs=0.02)
    assert data.vocab_size == 8
    with pytest.raises(ConfigError, match=r"`data\.name`=markov .*no tokenizer"):
        make(source, CharTokenizer())


def test_text_without_a_tokenizer_is_refused(make, text_file):
    with pytest.raises(ConfigError, match=r"`data\.name`=text needs a tokenizer"):
        make(TextFiles(text_file), None)


def test_a_text_shorter_than_a_block_names_split_and_source(make, text_file):
    data = make(TextFiles(text_file), WordTokenizer(), block_size=5000)
    with pytest.raises(DataError, match=r"train split of text of .*a\.txt has .*data\.block_size="):
        data.train_dataloader()


def test_a_one_token_file(make, tmp_path):
    (tmp_path / "one.txt").write_text("x")
    data = make(TextFiles(tmp_path / "one.txt", valid_fraction=0, test_fraction=0), CharTokenizer())
    with pytest.raises(DataError, match=r"has 1 token, .*Give more text with data\.path"):
        data.train_dataloader()


@pytest.mark.parametrize("content", [b"abc\0def" * 100, "é".encode("latin-1") * 100])
def test_a_file_that_is_not_text_fails_in_the_tokenizer_with_its_name(make, tmp_path, content):
    (tmp_path / "bad.txt").write_bytes(content)
    for spec in (CharTokenizer(), BpeTokenizer(257), WordTokenizer()):
        with pytest.raises(DataError, match=r"bad\.txt is not"):
            _ = make(TextFiles(tmp_path / "bad.txt"), spec).tokenizer


def test_bits_per_byte_of_uniform_symbols_is_log2_of_their_number(make):
    """A symbol counts as a byte: log(16) nats per token are 4 bits per byte."""
    source = MarkovSource(16, order=0)
    meta = make(source, None).split_meta("valid")
    nats_per_byte = source.entropy_rate_nats * meta.tokens / meta.utf8_bytes
    assert nats_per_byte / math.log(2) == pytest.approx(4)


MEMORY = """
import resource
import sys
from infinito.data.datamodule import LanguageDataModule
from infinito.data.sources import TextFiles
from infinito.data.tokenizers import BpeTokenizer

def peak_mib():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

before = peak_mib()
data = LanguageDataModule(
    TextFiles(sys.argv[1]), BpeTokenizer(300), block_size=64, batch_size=12, cache_dir=sys.argv[2]
)
loader = data.train_dataloader()
assert sum(batch.shape[0] for batch in loader) > 200_000
data.split_meta("valid")
print(peak_mib() - before)
"""


@pytest.mark.slow
def test_memory_stays_below_the_size_of_the_text(tmp_path):
    """40 MB of text need less than 100 MiB; encoded at once they would need gigabytes."""
    line = "".join(f"word{n} and {n * 7919 % 1000} more\n" for n in range(10_000))
    with (tmp_path / "a.txt").open("w") as file:
        while file.tell() < 40_000_000:
            file.write(line)
    command = [sys.executable, "-c", MEMORY, str(tmp_path / "a.txt"), str(tmp_path / "cache")]
    output = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    assert float(output) < 100
