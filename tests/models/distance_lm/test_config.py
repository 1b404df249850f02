"""The config of DistanceLM."""

from __future__ import annotations

from pathlib import Path

import pytest
from transformers import AutoConfig

from infinito.attention import explain
from infinito.errors import ConfigError
from infinito.models.distance_lm.config import DistanceLMConfig


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        (
            {"hidden_size": 64, "num_attention_heads": 6, "position": "learned"},
            r"`attention.heads`=6 does not divide `model.dim`=64. Choose 1, 2, 4, 8, 16, 32, 64, "
            r"e.g. `attention.heads=8`",
        ),
        (
            {"num_attention_heads": 4, "num_key_value_heads": 3},
            r"`attention.kv_heads`=3 does not divide `attention.heads`=4. Choose 1, 2, 4, "
            r"e.g. `attention.kv_heads=4`",
        ),
        (
            {"hidden_size": 12, "num_attention_heads": 4},
            r"`model.position=rotary` .* leaves 3 a head. .* `model.position=learned`",
        ),
        ({"scale": 0.0}, r"`attention.scale`=0.0: λ must be finite and above 0"),
        ({"scale": -1.0}, r"`attention.scale`=-1.0: λ must be finite and above 0"),
        ({"scale": float("inf")}, r"`attention.scale`=inf: λ must be finite and above 0"),
        ({"metric": "cosin"}, r"`attention.metric`='cosin' is not one of dot, .*Did you mean"),
        ({"metric": "lp"}, r"`attention.p`=None .* at least 1"),
        ({"metric": "lp", "p": 0.5}, r"`attention.p`=0.5 .* at least 1"),
        ({"position": "sine"}, r"`model.position`='sine' is not one of rotary, learned"),
        ({"scale_per": "layer"}, r"`attention.scale_per`='layer' is not one of model, head"),
        ({"hidden_size": 0}, r"`model.dim`=0: expected at least 1"),
        ({"num_attention_heads": 0}, r"`attention.heads`=0: expected at least 1"),
        ({"num_key_value_heads": 0}, r"`attention.kv_heads`=0 does not divide"),
    ],
)
def test_numbers_that_do_not_fit(sizes: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        DistanceLMConfig(**sizes)


def test_all_faults_are_reported_together() -> None:
    with pytest.raises(ConfigError) as caught:
        DistanceLMConfig(num_attention_heads=3, scale=0.0, metric="cos", scale_per="token")
    assert len(caught.value.faults) == 4


def test_sizes_that_are_left_out() -> None:
    config = DistanceLMConfig(hidden_size=64, num_attention_heads=8)
    assert config.num_key_value_heads == 8
    assert config.intermediate_size == 256
    assert config.head_dim == 8


def test_survives_the_disk(tmp_path: Path) -> None:
    config = DistanceLMConfig(metric="lp", p=2.5, scale=3.0, num_key_value_heads=2, eos_token_id=7)
    config.save_pretrained(tmp_path)
    again = AutoConfig.from_pretrained(tmp_path)
    assert isinstance(again, DistanceLMConfig)
    written, read = config.to_dict(), again.to_dict()
    assert read.pop("_name_or_path") == str(tmp_path)
    assert {key: written[key] for key in read} == read
    assert (again.p, again.scale, again.kv_heads, again.eos_token_id) == (2.5, 3.0, 2, 7)


def test_the_attention_it_asks_for_can_be_explained() -> None:
    config = DistanceLMConfig(metric="cosine", hidden_size=64, attention_dropout=0.1)
    request = config.attention_request(batch=8, time=32)
    assert (request.kernel, request.dim, request.time_k) == ("dot", 16, 32)
    assert explain(request, "sdpa") == (
        "dot attention on cpu (float32, head dim 16, dropout) is served by sdpa: requested by name."
    )
