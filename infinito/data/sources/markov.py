"""A synthetic source with exactly known entropy: the floor that no language model can beat."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from infinito.data.encoding import TokenChunk
from infinito.data.sources.source import SPLITS, Split, digest
from infinito.errors import ConfigError

MAX_VOCAB = 256
MAX_CONTEXTS = 1024
CHUNK_TOKENS = 1 << 16


class MarkovSource:
    """Sample paths of a random ergodic Markov chain whose entropy rate is known exactly.

    Every transition has a probability of at least `uniform_share` / vocab, so the chain is ergodic.
    It yields token ids directly; token i is written as the number i. For bits per byte a symbol
    counts as one byte.

    Args:
        vocab_size: number of symbols, 2 to 256.
        order: symbols that the next one depends on; 0 draws independent uniform symbols, the null
            case with entropy log(vocab_size). With order 2 the first prediction of a window has
            one symbol of context only, so a model's floor lies a little above the entropy rate.
        concentration: of the Dirichlet distribution of each row; smaller is more predictable.
        uniform_share: share of the uniform distribution mixed into each row.
        train_tokens: length of the training path. Likewise valid_tokens and test_tokens.
        seed: of the chain and of its three independent paths.

    Raises:
        ConfigError: arguments out of range.
    """

    name = "markov"
    licence = None

    def __init__(
        self,
        vocab_size: int = 32,
        *,
        order: int = 1,
        concentration: float = 0.2,
        uniform_share: float = 0.02,
        train_tokens: int = 1_000_000,
        valid_tokens: int = 100_000,
        test_tokens: int = 100_000,
        seed: int = 0,
    ) -> None:
        self.vocab_size, self.order, self.seed = vocab_size, order, seed
        _check(vocab_size, order, concentration, uniform_share)
        self.sizes: dict[Split, int] = {
            "train": train_tokens,
            "valid": valid_tokens,
            "test": test_tokens,
        }
        self.description = f"Markov chain of order {order} over {vocab_size} symbols"
        self.transitions = _random_transitions(
            vocab_size, order, concentration, uniform_share, np.random.default_rng([seed, 0])
        )
        self.entropy_rate_nats = entropy_rate(self.transitions)

    def file_hashes(self, split: Split) -> dict[str, str]:  # noqa: ARG002
        """Return nothing, as no file is read."""
        return {}

    def fingerprint(self, split: Split) -> str:
        """Return the hex SHA-256 of the chain, the seed and the length of the split's path."""
        chain = self.transitions.tobytes().hex()
        return digest(self.name, chain, self.order, self.seed, split, self.sizes[split])

    def token_chunks(self, split: Split) -> Iterator[TokenChunk]:
        """Yield the split's sample path, ids uint16 in consecutive pieces."""
        generator = np.random.default_rng([self.seed, 1 + SPLITS.index(split)])
        stationary = stationary_distribution(self.transitions)
        context = int(generator.choice(len(stationary), p=stationary))
        cumulative = np.cumsum(self.transitions, axis=1)
        cumulative[:, -1] = 1.0
        left = self.sizes[split]
        while left > 0:
            uniforms = generator.random(min(CHUNK_TOKENS, left))
            ids, context = _walk(cumulative, context, uniforms)
            left -= len(ids)
            yield TokenChunk(ids, utf8_bytes=len(ids), words=len(ids), documents=0)

    def tokenizer(self) -> PreTrainedTokenizerFast:
        """Return the tokenizer that reads and writes symbols as numbers between spaces."""
        backend = Tokenizer(models.WordLevel({str(i): i for i in range(self.vocab_size)}))
        backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        backend.decoder = decoders.WordPiece(prefix="\0", cleanup=False)
        return PreTrainedTokenizerFast(tokenizer_object=backend)

    def nats_per_token(self, ids: np.ndarray) -> float:
        """Return the mean loss of the true chain on a path, ids (time,), from `order` on.

        It differs from the entropy rate by the luck of the path, which a model shares.
        """
        contexts = np.zeros(len(ids) - self.order, dtype=np.int64)
        for lag in range(self.order):
            contexts = contexts * self.vocab_size + ids[lag : len(ids) - self.order + lag]
        return float(-np.log(self.transitions[contexts, ids[self.order :]]).mean())


def stationary_distribution(transitions: np.ndarray) -> np.ndarray:
    """Return the stationary distribution (contexts,) over contexts.

    Args:
        transitions: (contexts, vocab), probabilities of the next symbol; a context of order n is
            the number of its n symbols in base vocab, oldest first.
    """
    contexts, vocab = transitions.shape
    chain = np.zeros((contexts, contexts))
    for context in range(contexts):
        chain[context, (context * vocab + np.arange(vocab)) % contexts] += transitions[context]
    equations = chain.T - np.eye(contexts)
    equations[-1] = 1.0  # one equation is redundant: the probabilities add up to 1 instead
    return np.linalg.solve(equations, np.eye(contexts)[-1])


def entropy_rate(transitions: np.ndarray) -> float:
    """Return the entropy rate in nats per symbol: −Σ_c π(c) Σ_x p(x|c) log p(x|c).

    Source: Cover and Thomas, Elements of Information Theory, theorem 4.2.4.
    """
    rows = -(transitions * np.log(transitions)).sum(axis=1)
    return float(stationary_distribution(transitions) @ rows)


def _random_transitions(
    vocab: int, order: int, concentration: float, share: float, generator: np.random.Generator
) -> np.ndarray:
    if order == 0:
        return np.full((1, vocab), 1 / vocab)
    rows = generator.dirichlet(np.full(vocab, concentration), size=vocab**order)
    return (1 - share) * rows + share / vocab


def _walk(cumulative: np.ndarray, context: int, uniforms: np.ndarray) -> tuple[np.ndarray, int]:
    contexts, vocab = cumulative.shape
    ids = np.empty(len(uniforms), dtype=np.uint16)
    for step, uniform in enumerate(uniforms):
        symbol = int(cumulative[context].searchsorted(uniform, side="right"))
        ids[step] = symbol
        context = (context * vocab + symbol) % contexts
    return ids, context


def _check(vocab_size: int, order: int, concentration: float, uniform_share: float) -> None:
    faults = []
    if not 2 <= vocab_size <= MAX_VOCAB:
        faults.append(f"`data.vocab_size`={vocab_size} must be 2 to {MAX_VOCAB}.")
    if order < 0 or vocab_size ** max(order, 0) > MAX_CONTEXTS:
        faults.append(
            f"`data.order`={order} with `data.vocab_size`={vocab_size}: expected an order of at "
            f"least 0 and at most {MAX_CONTEXTS} contexts (vocab_size**order), e.g. data.order=1."
        )
    if concentration <= 0:
        faults.append(f"`data.concentration`={concentration} must be positive.")
    if not 0 < uniform_share <= 1:
        faults.append(f"`uniform_share`={uniform_share} must be above 0 and at most 1.")
    if faults:
        raise ConfigError(faults)
