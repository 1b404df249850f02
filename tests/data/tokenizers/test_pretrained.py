"""Tokenizers of others, and every way in which there is none."""

import pytest

from infinito.data.encoding import encode_documents
from infinito.data.tokenizers import BpeTokenizer, PretrainedTokenizer
from infinito.errors import DataError, HubError


def test_gpt2_from_its_folder(shared_data):
    tokenizer = PretrainedTokenizer(str(shared_data / "gpt2-tokenizer")).build()
    assert len(tokenizer) == 50_257
    assert tokenizer.encode("Hello world") == [15496, 995]
    (chunk,) = encode_documents(tokenizer, [["Hello world"]], separates_documents=True)
    assert chunk.ids.tolist() == [15496, 995, 50256]


def test_a_tokenizer_that_adds_a_token_of_its_own_adds_none_to_documents(shared_data):
    tokenizer = PretrainedTokenizer(str(shared_data / "stories260k/hf")).build()
    assert tokenizer.encode("Once")[0] == tokenizer.bos_token_id
    (text,) = encode_documents(tokenizer, [["Once"]], separates_documents=True)
    *ids, end = text.ids
    assert tokenizer.bos_token_id not in ids
    assert tokenizer.decode(ids) == "Once"
    assert end == tokenizer.eos_token_id


def test_a_tokenizer_json_alone(tmp_path):
    saved = BpeTokenizer(257).build(["ab"], separates_documents=False)
    saved.backend_tokenizer.save(str(tmp_path / "tokenizer.json"))
    loaded = PretrainedTokenizer(str(tmp_path / "tokenizer.json")).build()
    assert loaded.encode("ab") == saved.encode("ab")


def test_a_missing_path_is_not_taken_for_a_hub_id(tmp_path):
    with pytest.raises(DataError, match=r"tokenizer\.path=.*/no does not exist.*hub id"):
        PretrainedTokenizer(str(tmp_path / "no")).build()


@pytest.mark.parametrize("content", [None, "{", '{"model": {"type": "BPE"}}'])
def test_a_folder_without_a_sound_tokenizer(tmp_path, content):
    if content is not None:
        (tmp_path / "tokenizer.json").write_text(content)
    with pytest.raises(DataError, match=r"holds no tokenizer that can be read"):
        PretrainedTokenizer(str(tmp_path)).build()


@pytest.mark.usefixtures("closed_hub")
def test_an_unreachable_hub_names_the_local_override():
    with pytest.raises(HubError, match=r"tokenizer owner/name: .*tokenizer\.path=<folder"):
        PretrainedTokenizer("owner/name").build()
