"""Φ: an integration proxy on hidden states and attention, without parameters, and its band loss.

It says how a network's states hang together. It is not a measure of consciousness, and nothing
here is trained, so a network cannot raise its Φ by training the meter.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from infinito.errors import ConfigError, NonFiniteError

MIN_TIME = 8
"""Tokens that Φ needs."""
PROJECTED = 8
"""Features between whose halves integration is measured."""
SAMPLED_STATES = 32
"""States, evenly spread over a sequence, whose spectrum is taken."""
SAMPLED_ROWS = 8
"""Query rows, evenly spread over a sequence, whose attention entropy is taken."""
WEIGHTS = (0.3, 0.3, 0.2, 0.2)
"""Of temporal, integration, complexity and attention."""
BAND = (3.0, 6.0)
"""Where calibrated Φ costs nothing."""

_SHRINKAGE = 0.1
_BIPARTITIONS = 4
_RELATIVE_ZERO = 1e-6
"""Variance below this share of the mean square of the states counts as none."""


class PhiComponents(NamedTuple):
    """The four components of each sequence, in [0, 1], float32 (batch,)."""

    temporal: Tensor
    """Neighbours in time point the same way; chance (noise, shuffled time) gives 0.27."""
    integration: Tensor
    """What two halves of the state tell of each other; independent halves give near 0."""
    complexity: Tensor
    """Directions that the states spread over; constants give 0, white noise about 1."""
    attention: Tensor
    """Breadth of attention: 0 for few keys, 1 for all keys alike."""


LIMITS = PhiComponents(
    (0.40, 0.745),  # type: ignore[arg-type]
    (0.012, 0.45),  # type: ignore[arg-type]
    (0.10, 0.86),  # type: ignore[arg-type]
    (0.43, 0.975),  # type: ignore[arg-type]
)
"""Raw values of each component that become 0 and 1; see `spread`."""


def phi_components(hidden: Tensor, row_entropy: Tensor) -> PhiComponents:
    """Return the four components, computed in float32 at least, also inside autocast.

    Args:
        hidden: Hidden states (batch, time, dim), time at least `MIN_TIME`.
        row_entropy: Entropy of attention rows over the log of the keys that each sees, (batch,
            rows), mean over heads; of the rows that `sampled_rows` names.

    Raises:
        ConfigError: fewer than `MIN_TIME` tokens, or a single feature.
        NonFiniteError: a state, its square or an entropy is NaN or infinite.
    """
    check_sizes(hidden)
    with torch.autocast(hidden.device.type, enabled=False):
        hidden = hidden.to(torch.promote_types(hidden.dtype, torch.float32))
        mean_square = hidden.square().mean((1, 2))
        check_finite(mean_square, row_entropy)
        centred = hidden - hidden.mean(1, keepdim=True)
        zero = _RELATIVE_ZERO * mean_square + torch.finfo(hidden.dtype).tiny
        raw = (
            temporal(centred, zero),
            integration(centred, zero),
            complexity(centred, zero),
            row_entropy.to(hidden.dtype).mean(1),
        )
        return PhiComponents(*map(spread, raw, *zip(*LIMITS, strict=True)))


def check_sizes(hidden: Tensor) -> None:
    """Raise unless there is enough to compute Φ of; see `phi_components`."""
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
    """Raise unless Φ can be computed of these; see `phi_components`."""
    for name, values in (("hidden states", mean_square), ("attention entropies", row_entropy)):
        if not torch.isfinite(values).all():
            raise NonFiniteError(
                f"Φ of {name} that are NaN or infinite, or too large: no step is taken with it. "
                "Try a smaller `optimizer.lr`"
            )


def temporal(centred: Tensor, zero: Tensor) -> Tensor:
    """Return the mean of (1 + cos(h_t, h_{t+1}))/2, (batch,), ½ where nothing varies.

    Args:
        centred: States (batch, time, dim) less their mean over time.
        zero: Variance of a feature that counts as none, (batch,).
    """
    norm = (centred.square().sum(-1) + (zero * centred.shape[-1])[:, None]).sqrt()
    cosine = (centred[:, 1:] * centred[:, :-1]).sum(-1) / (norm[:, 1:] * norm[:, :-1])
    return (1 + cosine.mean(1)) / 2


def integration(centred: Tensor, zero: Tensor) -> Tensor:
    """Return 1 − exp(−2·I/k) of the weakest of a few bipartitions, (batch,); arguments as above.

    I is the mutual information, in nats, of two halves of k projected features as if these were
    Gaussian, from a covariance that is shrunk towards its mean variance, so it is defined for any
    number of states.
    """
    projection, halves = projection_of(centred.shape[-1], centred.dtype, centred.device)
    features = centred @ projection
    projected = projection.shape[1]
    covariance = features.mT @ features / features.shape[1]
    identity = torch.eye(projected, dtype=centred.dtype, device=centred.device)
    variance = covariance.diagonal(dim1=1, dim2=2).mean(-1)
    shrunk = (1 - _SHRINKAGE) * covariance
    shrunk = shrunk + (_SHRINKAGE * variance + zero)[:, None, None] * identity
    first, second = halves
    # One determinant of the whole serves all bipartitions; (batch, bipartitions, k/2, k/2) of each.
    parts = (shrunk[:, part[:, :, None], part[:, None, :]].logdet() for part in (first, second))
    nats = (sum(parts) - shrunk.logdet()[:, None]) / 2
    return -torch.expm1(-2 * nats.amin(1).clamp_min(0) / projected)


@lru_cache(maxsize=16)
def projection_of(
    dim: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """Return the fixed projection (dim, k) and bipartitions: indices (bipartitions, k/2), twice.

    The same for every model of a width: it is drawn from a generator of its own. Its columns are
    orthonormal, so that features of white noise are independent.
    """
    projected = min(PROJECTED, dim - dim % 2)
    with torch.inference_mode(False):
        generator = torch.Generator().manual_seed(0)
        drawn = torch.randn(dim, projected, generator=generator, dtype=torch.float64)
        orders = [torch.randperm(projected, generator=generator) for _ in range(_BIPARTITIONS)]
        first, second = torch.stack(orders).to(device).chunk(2, dim=1)
        return torch.linalg.qr(drawn).Q.to(device, dtype), (first, second)


def complexity(centred: Tensor, zero: Tensor) -> Tensor:
    """Return exp(spectral entropy) over the largest possible rank, (batch,); arguments as above.

    The spectrum is that of the covariance of `SAMPLED_STATES` states.

    Source: Roy & Vetterli 2007, The effective rank, eq. 2–4, with shares of variance instead of
        singular values, whose gradient is finite where the matrix loses rank.
    """
    time, dim = centred.shape[1:]
    count = min(time, SAMPLED_STATES)
    states = centred[:, evenly_spread(0, time - 1, count, centred.device)]
    states = states - states.mean(1, keepdim=True)
    gram = states @ states.mT if count <= dim else states.mT @ states
    spectrum = torch.linalg.eigvalsh(gram).clamp_min(0)
    shares = spectrum / (spectrum.sum(-1) + zero * count * dim)[:, None]
    entropy = -(shares * shares.clamp_min(torch.finfo(shares.dtype).tiny).log()).sum(-1)
    return entropy.exp() / min(count, dim)


def spread(raw: Tensor, low: float, high: float) -> Tensor:
    """Return where a component lies between two limits on the scale of its log odds, in [0, 1].

    Monotone; beyond the limits it is 0 or 1 and has no gradient. As they are, windows of real text
    differ by a few thousandths to hundredths, and by a similar part of their odds in all models.
    """
    start, stop = (math.log(limit / (1 - limit)) for limit in (low, high))
    return (raw.clamp(low, high).logit() - start) / (stop - start)


def sampled_rows(time: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the positions of the query rows whose entropy Φ takes; row 0 sees only itself."""
    return evenly_spread(1, time - 1, min(time - 1, SAMPLED_ROWS), torch.device(device))


def evenly_spread(first: int, last: int, count: int, device: torch.device) -> Tensor:
    """Return `count` whole numbers from `first` to `last`."""
    return torch.linspace(first, last, count, dtype=torch.float64, device=device).round().long()


def phi(components: PhiComponents, weights: Tensor | tuple[float, ...] = WEIGHTS) -> Tensor:
    """Return Φ before calibration, 10·Σ w·c in [0, 10], (batch,); weights sum to 1, (4,)."""
    stacked = torch.stack(components, dim=-1)
    weights = torch.as_tensor(weights, dtype=stacked.dtype, device=stacked.device)
    return 10 * (stacked * weights).sum(-1)  # a product of matrices would obey autocast


class Calibration(NamedTuple):
    """The affine map that puts a base model's Φ into the band: scale·Φ + offset."""

    scale: float = 1.0
    offset: float = 0.0

    def __call__(self, raw: Tensor) -> Tensor:
        """Return calibrated Φ of the same shape."""
        return self.scale * raw + self.offset

    @classmethod
    def fitted(cls, raw: Tensor, band: tuple[float, float] = BAND) -> Calibration:
        """Return the map by which 2.5 % of the values lie below the band and 2.5 % above.

        The loss sees the mean over a batch, which varies less: of a larger batch, a greater share
        of steps lies in the band.

        Args:
            raw: Φ before calibration of single windows of text by a base model, (windows,).

        Raises:
            NonFiniteError: the values do not vary, so no scale fits.
        """
        low, high = torch.quantile(raw.double().cpu(), torch.tensor([0.025, 0.975]).double())
        if not high - low > 1e-6:
            raise NonFiniteError(
                f"Φ is {low:g} to {high:g} over {raw.numel()} windows: there is nothing to "
                "calibrate by. Give more and other text, e.g. `data=python_docs`"
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
