"""What every tokenizer must do, on the same text."""

import hashlib
import subprocess
import sys

import pytest
from tokenizers.decoders import DecodeStream
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from infinito.data.encoding import encode_documents, tokenizer_fingerprint
from infinito.data.tokenizers import (
    BpeTokenizer,
    CharTokenizer,
    PretrainedTokenizer,
    WordTokenizer,
)
from infinito.data.tokenizers.spec import check_vocab_size
from infinito.errors import DataError

TEXT = "The cat sat .\nThe dög ran 🎈 .\n\nNo cat ran .\n" * 20

SPECS = {
    "char": CharTokenizer(),
    "bpe": BpeTokenizer(270),
    "word": WordTokenizer(),
    "pretrained": None,  # the bpe one, from its folder
}


def build(spec):
    return spec.build([TEXT], separates_documents=True)


@pytest.fixture(params=SPECS)
def spec(request, tmp_path):
    if request.param != "pretrained":
        return SPECS[request.param]
    build(SPECS["bpe"]).save_pretrained(tmp_path / "bpe")
    return PretrainedTokenizer(str(tmp_path / "bpe"))


@pytest.fixture
def tokenizer(spec):
    return build(spec)


def test_text_comes_back(tokenizer):
    ids = tokenizer.encode(TEXT)
    decoded = tokenizer.decode(ids)
    assert tokenizer.encode(decoded) == ids
    assert "".join(decoded.split()) == "".join(TEXT.split())


def test_streamed_decoding_equals_decoding_at_once(tokenizer):
    """Pieces of a character are held back until it is whole."""
    ids = tokenizer.encode(TEXT)
    backend, stream = tokenizer.backend_tokenizer, DecodeStream(skip_special_tokens=False)
    steps = [stream.step(backend, i) for i in ids]
    assert "".join(step for step in steps if step) == tokenizer.decode(ids)
    assert "�" not in "".join(step for step in steps if step)


def test_saving_and_loading_keeps_every_id(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "saved")
    loaded = AutoTokenizer.from_pretrained(tmp_path / "saved", local_files_only=True)
    assert isinstance(loaded, PreTrainedTokenizerFast)
    assert loaded.encode(TEXT) == tokenizer.encode(TEXT)
    assert loaded.special_tokens_map == tokenizer.special_tokens_map
    assert len(loaded) == len(tokenizer)


def test_a_saved_tokenizer_encodes_documents_to_the_same_ids(tokenizer, tmp_path):
    """Evaluation opens a checkpoint's tokenizer as a pretrained one."""
    tokenizer.save_pretrained(tmp_path / "saved")
    loaded = PretrainedTokenizer(str(tmp_path / "saved")).build()
    first, second = (
        [
            c.ids.tolist()
            for c in encode_documents(t, [[TEXT], ["no end"]], separates_documents=True)
        ]
        for t in (tokenizer, loaded)
    )
    assert first == second


def test_building_twice_gives_one_tokenizer(spec, tokenizer):
    assert tokenizer_fingerprint(build(spec)) == tokenizer_fingerprint(tokenizer)


def test_ids_are_dense(tokenizer):
    assert sorted(tokenizer.get_vocab().values()) == list(range(len(tokenizer)))


TRAIN = """
import sys
from infinito.data.tokenizers import BpeTokenizer
words = ["ab", "ba", "bc", "cb", "ca", "ac"]
text = [" ".join(words[(i * j) % 6] for i in range(50)) + "\\n" for j in range(500)]
print(BpeTokenizer(265).build(text, separates_documents=True).backend_tokenizer.to_str())
"""


def test_training_does_not_depend_on_process_or_threads():
    """The pairs of this text are often equally frequent, so that ties must be broken in order."""
    outputs = [
        subprocess.run(
            [sys.executable, "-c", TRAIN],
            env={"RAYON_NUM_THREADS": threads, "PYTHONHASHSEED": seed, "PYTHONPATH": "."},
            capture_output=True,
            check=True,
        ).stdout
        for threads, seed in (("1", "1"), ("2", "2"))
    ]
    assert len({hashlib.sha256(output).hexdigest() for output in outputs}) == 1
    assert len(outputs[0]) > 1000


def test_a_vocabulary_that_the_text_does_not_support_names_the_size_reached():
    check_vocab_size(10, 10, "words")
    message = r"`tokenizer\.vocab_size`=11 .* it has 10 words\. .*tokenizer\.vocab_size=10 or less"
    with pytest.raises(DataError, match=message):
        check_vocab_size(11, 10, "words")
