"""Φ: a proxy for how a network's states hang together, and the loss that keeps it in a band.

    Φ = 10 · Σ weight · component, over four components in [0, 1] of one sequence:
      temporal     do neighbouring states point the same way?
      integration  what do two halves of the state say about each other?
      complexity   over how many directions do the states spread?
      attention    over how many keys does a query spread its attention?
    loss = relu(low − Φ′) + relu(Φ′ − high), where Φ′ = scale · Φ + offset is calibrated once.

Φ is not a measure of consciousness. It has no parameters: a network can change its states to raise
it, but not the measure. The page reads from the four components down to the loss.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from infinito.errors import ConfigError, NonFiniteError

MIN_TIME = 8
"""The fewest tokens that Φ is defined for."""
PROJECTED = 8
"""Features that states are projected to before integration compares their halves."""
SAMPLED_STATES = 32
"""States of a sequence, at equal distances, whose spectrum gives complexity."""
SAMPLED_ROWS = 8
"""Query rows of a sequence, at equal distances, whose entropy gives attention."""
WEIGHTS = (0.3, 0.3, 0.2, 0.2)
"""Weights of temporal, integration, complexity and attention."""
BAND = (3.0, 6.0)
"""Values of calibrated Φ whose loss is 0."""

_SHRINKAGE = 0.1
"""Share of the mean variance in the covariance, so that its determinant is never 0."""
_BIPARTITIONS = 4
"""Ways in which the projected features are split into halves."""
_RELATIVE_ZERO = 1e-6
"""A variance below this share of the states' mean square is rounding and counts as 0."""


class PhiComponents(NamedTuple):
    """The four components of each sequence, in [0, 1], float32 at least (batch,)."""

    temporal: Tensor
    """How much neighbours in time point the same way; noise and shuffled time give 0.27."""
    integration: Tensor
    """Mutual information of two halves of the state; independent halves give about 0."""
    complexity: Tensor
    """Share of the directions that states spread over; constants give 0, white noise about 1."""
    attention: Tensor
    """Breadth of attention: 0 for few keys, 1 for equal weights on all keys."""


LIMITS = PhiComponents(
    (0.40, 0.745),  # type: ignore[arg-type]
    (0.012, 0.45),  # type: ignore[arg-type]
    (0.10, 0.86),  # type: ignore[arg-type]
    (0.43, 0.975),  # type: ignore[arg-type]
)
"""Raw values of each component that become 0 and 1; see `rescale`."""


def phi_components(hidden: Tensor, row_entropy: Tensor) -> PhiComponents:
    """Return the four components, computed in float32 at least, also inside autocast.

    Args:
        hidden: Hidden states (batch, time, dim), time at least `MIN_TIME`.
        row_entropy: Entropy of attention rows over the log of the keys that each sees, mean over
            heads, for the rows that `sampled_rows` returns: (batch, rows).

    Raises:
        ConfigError: fewer than `MIN_TIME` tokens, or a single feature.
        NonFiniteError: a state, its square or an entropy is NaN or infinite.
    """
    check_sizes(hidden)
    with torch.autocast(hidden.device.type, enabled=False):
        hidden = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        mean_square = hidden.square().mean((1, 2))  # (batch,)
        check_finite(mean_square, row_entropy)
        # Per feature: what all states of a text share would make any two of them look alike.
        centred = hidden - hidden.mean(1, keepdim=True)  # (batch, time, dim)
        zero = _RELATIVE_ZERO * mean_square + torch.finfo(hidden.dtype).tiny  # (batch,)
        raw = (
            temporal(centred, zero),
            integration(centred, zero),
            complexity(centred, zero),
            row_entropy.to(hidden.dtype).mean(1),
        )
        return PhiComponents(*map(rescale, raw, *zip(*LIMITS, strict=True)))


def check_sizes(hidden: Tensor) -> None:
    """Raise ConfigError unless a sequence is long and wide enough for Φ."""
    time, dim = hidden.shape[1:]
    if dim < 2:
        raise ConfigError(
            f"Φ of states of width {dim}: it compares two halves of them, so it needs 2 features "
            "at least, e.g. `model.dim=64`"
        )
    if time < MIN_TIME:
        raise ConfigError(
            f"Φ of a sequence of {time} tokens: it needs {MIN_TIME} at least, "
            f"e.g. `data.block_size={MIN_TIME}`"
        )


def check_finite(mean_square: Tensor, row_entropy: Tensor) -> None:
    """Raise NonFiniteError unless states and attention are finite numbers."""
    for name, values in (("hidden states", mean_square), ("attention entropies", row_entropy)):
        if not torch.isfinite(values).all():
            raise NonFiniteError(
                f"Φ of {name} that are NaN or infinite, or too large: no step is taken with it. "
                "Try a smaller `optimizer.lr`"
            )


def temporal(centred: Tensor, zero: Tensor) -> Tensor:
    """Return the mean of (1 + cos(h_t, h_{t+1}))/2, (batch,); ½ where nothing varies.

    Args:
        centred: States (batch, time, dim) minus their mean over time.
        zero: Variance of a feature that counts as 0, (batch,).
    """
    # `zero` keeps the root's gradient finite where a state is the mean itself.
    norm = (centred.square().sum(-1) + (zero * centred.shape[-1])[:, None]).sqrt()  # (batch, time)
    dots = (centred[:, 1:] * centred[:, :-1]).sum(-1)  # (batch, time − 1)
    cosine = dots / (norm[:, 1:] * norm[:, :-1])
    return (1 + cosine.mean(1)) / 2


def integration(centred: Tensor, zero: Tensor) -> Tensor:
    """Return 1 − exp(−2·I/k) for the weakest of a few bipartitions, (batch,).

    I is the mutual information, in nats, between two halves of k projected features, computed as if
    they were Gaussian: (log|Σ₁| + log|Σ₂| − log|Σ|)/2. The covariance Σ is shrunk towards its mean
    variance, so that I is defined for any number of states. Arguments as in `temporal`.
    """
    dim, dtype, device = centred.shape[-1], centred.dtype, centred.device
    projection, halves = fixed_projection(dim, dtype, device)
    features = centred @ projection  # (batch, time, k)
    projected = projection.shape[1]
    covariance = features.mT @ features / features.shape[1]  # (batch, k, k)
    identity = torch.eye(projected, dtype=dtype, device=device)
    variance = covariance.diagonal(dim1=1, dim2=2).mean(-1)  # (batch,)
    shrunk = (1 - _SHRINKAGE) * covariance
    shrunk = shrunk + (_SHRINKAGE * variance + zero)[:, None, None] * identity
    # Σ₁ and Σ₂ of all bipartitions at once: (batch, bipartitions, k/2, k/2), then their log|·|.
    parts = (shrunk[:, half[:, :, None], half[:, None, :]].logdet() for half in halves)
    nats = (sum(parts) - shrunk.logdet()[:, None]) / 2  # (batch, bipartitions)
    return -torch.expm1(-2 * nats.amin(1).clamp_min(0) / projected)


@lru_cache(maxsize=16)
def fixed_projection(
    dim: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return a projection (dim, k), and the two halves of each bipartition, (bipartitions, k/2).

    They are the same for every model of this width, for they come from a generator of their own.
    The projection's columns are orthonormal, so that features of white noise are independent.
    """
    projected = min(PROJECTED, dim - dim % 2)
    with torch.inference_mode(False):  # what is cached here must serve training too
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(dim, projected, generator=generator, dtype=torch.float64)
        orders = [torch.randperm(projected, generator=generator) for _ in range(_BIPARTITIONS)]
        first, second = torch.stack(orders).to(device).chunk(2, dim=1)
        return torch.linalg.qr(drawn).Q.to(device, dtype), (first, second)


def complexity(centred: Tensor, zero: Tensor) -> Tensor:
    """Return the effective rank of `SAMPLED_STATES` states over the largest possible, (batch,).

    The effective rank is exp(entropy) of the shares that directions have in the variance.
    Arguments as in `temporal`.

    Source: Roy & Vetterli 2007, The effective rank, eq. 2–4, with shares of variance instead of
        singular values: their gradient is finite where the matrix loses rank.
    """
    time, dim = centred.shape[1:]
    count = min(time, SAMPLED_STATES)
    states = centred[:, space_evenly(0, time - 1, count, centred.device)]  # (batch, count, dim)
    states = states - states.mean(1, keepdim=True)
    # Both products have the same eigenvalues above 0; the smaller one is faster.
    gram = states @ states.mT if count <= dim else states.mT @ states  # (batch, size, size)
    spectrum = torch.linalg.eigvalsh(gram).clamp_min(0)  # (batch, size)
    shares = spectrum / (spectrum.sum(-1) + zero * count * dim)[:, None]
    # The clamp keeps 0 · log 0 at 0, and its gradient finite.
    entropy = -(shares * shares.clamp_min(torch.finfo(shares.dtype).tiny).log()).sum(-1)
    effective: Tensor = entropy.exp() / min(count, dim)
    return effective


def rescale(raw: Tensor, low: float, high: float) -> Tensor:
    """Return the position of a raw component between two limits, in log odds: 0 at low, 1 at high.

    Raw components of real windows differ by thousandths only, but by a similar factor of their odds
    in all models. Beyond the limits the result is 0 or 1 and has no gradient.
    """
    start, stop = (math.log(limit / (1 - limit)) for limit in (low, high))
    return (raw.clamp(low, high).logit() - start) / (stop - start)


def sampled_rows(time: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the positions (rows,) of the query rows whose entropy `phi_components` reads."""
    # Row 0 sees one key, whose entropy says nothing.
    return space_evenly(1, time - 1, min(time - 1, SAMPLED_ROWS), torch.device(device))


def space_evenly(first: int, last: int, count: int, device: torch.device) -> Tensor:
    """Return `count` whole numbers from `first` to `last` at equal distances, int64 (count,)."""
    return torch.linspace(first, last, count, dtype=torch.float64, device=device).round().long()


def phi(components: PhiComponents, weights: Tensor | tuple[float, ...] = WEIGHTS) -> Tensor:
    """Return Φ before calibration, 10 · Σ weight · component in [0, 10], (batch,).

    Args:
        components: Each (batch,) or of any one shape.
        weights: (4,), summing to 1.
    """
    stacked = torch.stack(components, dim=-1)  # (batch, 4)
    weights = torch.as_tensor(weights, dtype=stacked.dtype, device=stacked.device)
    return 10 * (stacked * weights).sum(-1)  # autocast would round a matrix product


class Calibration(NamedTuple):
    """The affine map scale·Φ + offset, fitted so that a base model's Φ lies in the band."""

    scale: float = 1.0
    offset: float = 0.0

    def __call__(self, raw: Tensor) -> Tensor:
        """Return calibrated Φ of the same shape."""
        return self.scale * raw + self.offset

    @classmethod
    def fitted(cls, raw: Tensor, band: tuple[float, float] = BAND) -> Calibration:
        """Return the map that puts 2.5 % of the values below the band and 2.5 % above it.

        The loss is computed from the mean over a batch, which varies less than its windows: the
        larger the batch, the more steps lie in the band.

        Args:
            raw: A base model's Φ before calibration, of single windows of text: (windows,).

        Raises:
            NonFiniteError: the values do not vary, so no scale fits.
        """
        low, high = torch.quantile(raw.double().cpu(), torch.tensor([0.025, 0.975]).double())
        if not high - low > 1e-6:
            raise NonFiniteError(
                f"Φ is {low:g} to {high:g} over {raw.numel()} windows: no scale can be fitted to "
                "values that do not vary. Give more and other text, e.g. `data=python_docs`"
            )
        scale = (band[1] - band[0]) / float(high - low)
        return cls(scale, band[0] - scale * float(low))


def band_loss(phi: Tensor, band: tuple[float, float] = BAND) -> Tensor:
    """Return relu(low − Φ) + relu(Φ − high), of the same shape; no gradient inside the band.

    Raises:
        ConfigError: the band is empty.
    """
    low, high = band
    if not low < high:
        raise ConfigError(
            f"`objective.band`=[{low:g},{high:g}] is inverted: expected low < high, "
            "e.g. `objective.band=[3,6]`"
        )
    return torch.relu(low - phi) + torch.relu(phi - high)
