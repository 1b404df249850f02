"""Chains with hand-worked entropy, and sample paths that have it."""

import math

import numpy as np
import pytest

from infinito.data.sources import SPLITS, MarkovSource
from infinito.data.sources.markov import entropy_rate, stationary_distribution
from infinito.errors import ConfigError


def path_of(source, split):
    return np.concatenate([chunk.ids for chunk in source.token_chunks(split)])


def test_stationary_distribution_of_two_states():
    """π = (5/6, 1/6): 5/6 · 0.9 + 1/6 · 0.5 = 5/6."""
    transitions = np.array([[0.9, 0.1], [0.5, 0.5]])
    np.testing.assert_allclose(stationary_distribution(transitions), [5 / 6, 1 / 6])


def test_entropy_rate_of_two_states():
    """5/6 · h(0.1) + 1/6 · h(0.5) with h(0.1) = 0.32508, h(0.5) = 0.69315 gives 0.38643."""
    assert entropy_rate(np.array([[0.9, 0.1], [0.5, 0.5]])) == pytest.approx(0.386427, abs=1e-6)


def test_entropy_rate_of_order_two():
    """The next bit differs from the one before last with 0.9: contexts 00, 01, 10, 11 are equally
    likely by symmetry, each with entropy h(0.1) = 0.325083."""
    flip = [0.1, 0.9]
    transitions = np.array([flip, flip, flip[::-1], flip[::-1]])
    np.testing.assert_allclose(stationary_distribution(transitions), 0.25)
    assert entropy_rate(transitions) == pytest.approx(0.325083, abs=1e-6)


@pytest.mark.parametrize("order", [1, 2])
def test_the_path_has_the_entropy_of_the_chain(order):
    source = MarkovSource(8, order=order, train_tokens=200_000, seed=5)
    ids = path_of(source, "train")
    assert source.nats_per_token(ids) == pytest.approx(source.entropy_rate_nats, abs=0.01)


def test_the_transitions_of_the_path_are_those_of_the_chain():
    source = MarkovSource(4, train_tokens=200_000, seed=2)
    ids = path_of(source, "train").astype(int)
    counts = np.bincount(ids[:-1] * 4 + ids[1:], minlength=16).reshape(4, 4)
    observed = counts / counts.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(observed, source.transitions, atol=0.02)


def test_order_zero_is_uniform():
    source = MarkovSource(16, order=0, train_tokens=160_000)
    ids = path_of(source, "train")
    assert source.entropy_rate_nats == pytest.approx(math.log(16))
    np.testing.assert_allclose(np.bincount(ids, minlength=16) / 10_000, 1, atol=0.05)
    pairs = ids[:-1].astype(int) * 16 + ids[1:]
    np.testing.assert_allclose(np.bincount(pairs, minlength=256) / 625, 1, atol=0.25)


def test_splits_are_different_paths_of_one_chain():
    source = MarkovSource(16, train_tokens=1000, valid_tokens=1000, test_tokens=1000)
    paths = [path_of(source, split).tolist() for split in SPLITS]
    assert len({tuple(path) for path in paths}) == 3
    assert len({source.fingerprint(split) for split in SPLITS}) == 3


def test_same_seed_same_chain_and_path_other_seed_other():
    first, same, other = (MarkovSource(16, train_tokens=100_000, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(path_of(first, "train"), path_of(same, "train"))
    assert first.fingerprint("train") == same.fingerprint("train")
    assert not np.array_equal(path_of(first, "train"), path_of(other, "train"))
    assert first.fingerprint("train") != other.fingerprint("train")


def test_the_tokenizer_writes_symbols_as_numbers():
    tokenizer = MarkovSource(32).tokenizer()
    assert tokenizer.decode([3, 31, 0]) == "3 31 0"
    assert tokenizer.encode("3 31 0") == [3, 31, 0]
    assert len(tokenizer) == 32


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_size": 1}, r"data\.vocab_size"),
        ({"vocab_size": 257}, r"data\.vocab_size"),
        ({"order": -1}, r"data\.order"),
        ({"order": 3}, r"1024 contexts"),
        ({"concentration": 0}, r"data\.concentration"),
        ({"uniform_share": 0}, r"uniform_share"),
    ],
)
def test_arguments_out_of_range_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        MarkovSource(**options)
