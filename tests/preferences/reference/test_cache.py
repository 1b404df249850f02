"""The reference cache: what is computed again, and that nothing wrong is ever believed."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import peft
import pytest
import torch

from infinito.preferences.reference.cache import ReferenceCache, hash_reference
from infinito.preferences.scoring.answer_scores import score_answers
from infinito.preferences.scoring.layout_probe import Layout
from infinito.preferences.scoring.layouts import arrange
from infinito.preferences.scoring.log_prob_table import tabulate_log_probs
from tests.preferences.pair_models import make, random_pairs

PAIRS = random_pairs(12)
SHARED = Layout("shared", "fused")


@pytest.fixture
def cache(tmp_path: Path) -> ReferenceCache:
    return ReferenceCache(tmp_path)


def test_the_table_is_what_the_model_says_pair_by_pair() -> None:
    model = make("llama").train()
    table = tabulate_log_probs(model, PAIRS, SHARED, batch_tokens=64)
    assert model.training
    model.eval()
    for pair, row in zip(PAIRS, table, strict=True):
        with torch.no_grad():
            alone = score_answers(model, arrange([pair], "full")).log_probs
        assert torch.allclose(row, alone, atol=2e-5)


def test_a_second_run_computes_nothing_and_reads_the_same(cache: ReferenceCache) -> None:
    first = cache.look_up(make("llama"), PAIRS, SHARED)
    again = cache.look_up(make("llama"), PAIRS, Layout("concat", "fused"))
    assert (first.computed, again.computed) == (12, 0)
    assert torch.equal(first.log_probs, again.log_probs)


def test_added_pairs_are_computed_and_no_others(cache: ReferenceCache) -> None:
    cache.look_up(make("llama"), PAIRS, SHARED)
    more = random_pairs(22)
    assert more[:12] == PAIRS
    assert cache.look_up(make("llama"), more, SHARED).computed == 10
    assert cache.look_up(make("llama"), more[::-1], SHARED).computed == 0


def test_another_truncation_computes_what_it_touches(cache: ReferenceCache) -> None:
    cache.look_up(make("llama"), PAIRS, SHARED)
    cut = [replace(pair, chosen_ids=pair.chosen_ids[:8]) for pair in PAIRS]
    touched = sum(len(pair.chosen_ids) > 8 for pair in PAIRS)
    assert 0 < touched < 12
    assert cache.look_up(make("llama"), cut, SHARED).computed == touched


def test_a_single_changed_weight_computes_all(cache: ReferenceCache) -> None:
    cache.look_up(make("llama"), PAIRS, SHARED)
    model = make("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 5] += 1e-3
    assert cache.look_up(model, PAIRS, SHARED).computed == 12


def test_type_and_attention_are_told_apart() -> None:
    keys = {
        hash_reference(model)
        for model in (make("llama"), make("llama", "eager"), make("llama").bfloat16())
    }
    assert len(keys) == 3
    assert hash_reference(make("llama")) in keys


def test_precisions_of_products_are_told_apart() -> None:
    names: dict[str, set[str]] = {}
    for precision in ("highest", "medium", "highest"):
        torch.set_float32_matmul_precision(precision)
        names.setdefault(precision, set()).add(hash_reference(make("llama")))
    assert [len(each) for each in names.values()] == [1, 1]
    assert names["highest"] != names["medium"]


def test_the_rest_of_a_pair_does_not_matter(cache: ReferenceCache) -> None:
    cache.look_up(make("llama"), PAIRS, SHARED)
    renamed = [replace(pair, row=99, category="x", weight=2.0) for pair in PAIRS]
    assert cache.look_up(make("llama"), renamed, SHARED).computed == 0


def test_equal_pairs_are_computed_once(cache: ReferenceCache) -> None:
    table = cache.look_up(make("llama"), [PAIRS[0], PAIRS[1], PAIRS[0]], SHARED)
    assert table.computed == 2
    assert torch.equal(table.log_probs[0], table.log_probs[2])


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")
def test_adapters_are_left_out(cache: ReferenceCache) -> None:
    """The reference of a policy with adapters is the model without: the cache is shared."""
    plain = cache.look_up(make("llama"), PAIRS, SHARED)
    adapted = peft.get_peft_model(make("llama"), peft.LoraConfig(target_modules=["q_proj"]))
    for name, value in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.ones_(value)
    table = cache.look_up(adapted, PAIRS, SHARED)
    assert table.computed == 0
    assert torch.equal(table.log_probs, plain.log_probs)
    apart = tabulate_log_probs(adapted, PAIRS, SHARED, adapters=False)
    assert torch.allclose(apart, plain.log_probs, atol=1e-5)
    assert not torch.allclose(
        tabulate_log_probs(adapted, PAIRS, SHARED), plain.log_probs, atol=1e-2
    )


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "text"])
def test_damage_is_noticed(
    cache: ReferenceCache, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    first = cache.look_up(make("llama"), PAIRS, SHARED)
    (path,) = cache.folder.glob("*.safetensors")
    content = bytearray(path.read_bytes())
    if harm == "flip":
        content[-3] ^= 1
    damaged = {"cut": content[:-7], "empty": b"", "text": b"not a tensor"}.get(harm, content)
    path.write_bytes(bytes(damaged))
    with caplog.at_level(logging.WARNING):
        again = cache.look_up(make("llama"), PAIRS, SHARED)
    assert again.computed == 12
    assert torch.equal(first.log_probs, again.log_probs)
    assert "is damaged" in caplog.text
    assert cache.look_up(make("llama"), PAIRS, SHARED).computed == 0


def test_of_many_that_ask_at_once_one_computes(cache: ReferenceCache) -> None:
    models = [make("llama") for _ in range(4)]
    with ThreadPoolExecutor(4) as threads:
        tables = list(threads.map(lambda model: cache.look_up(model, PAIRS, SHARED), models))
    assert sorted(table.computed for table in tables) == [0, 0, 0, 12]
