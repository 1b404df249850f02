"""The exact routes through torch's scaled dot-product attention, for dot, cosine and sq_l2."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad, scaled_dot_product_attention

from infinito.attention.backends.backend import Backend, Request
from infinito.attention.derivatives import differentiable_once
from infinito.attention.masking import share_groups, visible_keys


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, request: Request, key_padding: Tensor | None
) -> Tensor:
    queries, keys, values = differentiable_once(queries, keys, values)
    if queries.dtype == values.dtype:
        return _attend_alike(queries, keys, values, request, key_padding)
    if request.kernel == "dot":  # one rounding of λ·q is what half precision does to any product
        queries, keys = queries.to(values.dtype), keys.to(values.dtype)
        return _attend_alike(queries, keys, values, request, key_padding)
    with torch.autocast(queries.device.type, enabled=False):
        wide = values.to(queries.dtype)
        return _attend_alike(queries, keys, wide, request, key_padding).to(values.dtype)


def _attend_alike(
    queries: Tensor, keys: Tensor, values: Tensor, request: Request, key_padding: Tensor | None
) -> Tensor:
    """Return attention of tensors of one dtype; a learned λ widens queries and keys alone."""
    factor, width = request.factor, request.value_dim
    if request.kernel == "sq_l2":
        queries, keys = as_dot_product(queries, keys, _compute_dtype(queries))
        values = pad(values, (0, max(0, queries.shape[-1] - width)))
        factor = 2.0 * factor
    time_q, time_k = request.time_q, request.time_k
    square = request.causal and time_q == time_k and key_padding is None
    mask = None
    if not square:
        mask = visible_keys(
            time_q, time_k, causal=request.causal, key_padding=key_padding, device=queries.device
        )
    if mask is not None:
        # With a mask, CUDA's fast kernels want as many key heads as query heads.
        keys, values = share_groups(keys, request.heads), share_groups(values, request.heads)
    mixed = scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=mask,
        dropout_p=request.dropout_p,
        is_causal=square,
        scale=factor,
        enable_gqa=queries.shape[1] != keys.shape[1],
    )
    return mixed[..., :width]


def _compute_dtype(queries: Tensor) -> torch.dtype:
    """Return the dtype that torch's attention computes in, which autocast may change."""
    device = queries.device.type
    if queries.dtype == torch.float64 or not torch.is_autocast_enabled(device):
        return queries.dtype
    return torch.get_autocast_dtype(device)


def as_dot_product(queries: Tensor, keys: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Return wider queries and keys whose 2·q·k is −‖q − k‖₂² up to a constant in each row.

    −‖q − k‖² = 2 (q·k − ‖k‖²/2) − ‖q‖², of which the softmax over keys does not see the last term.
    The term in ‖k‖² is carried by extra features and not by a bias, because a bias with a gradient
    leaves torch's flash kernels. Both sides are centred, which changes no distance, so that an
    offset that all vectors share does not cancel in float32.

    Returns:
        (batch, heads, time_q, wider dim) and (batch, kv_heads, time_k, wider dim), of `dtype`.
    """
    centre = _centre(queries, keys)
    queries = (queries - share_groups(centre, queries.shape[1])).to(dtype)
    keys = (keys - centre).to(dtype)
    halves = keys.float() if keys.dtype.itemsize < 4 else keys
    halves = halves.square().sum(-1, keepdim=True) * -0.5
    columns = [halves.to(keys.dtype)]
    if keys.dtype.itemsize < 4:
        # Eight bits of bfloat16 are too few for ‖k‖²: a second column carries the rounding error.
        columns.append((halves - columns[0].float()).to(keys.dtype))
    # CUDA's flash kernel pads a width that 8 does not divide, at the cost of copies.
    spare = -(keys.shape[-1] + len(columns)) % 8 if keys.is_cuda else 0
    keys = torch.cat((keys, *columns), dim=-1)
    return pad(pad(queries, (0, len(columns)), value=1.0), (0, spare)), pad(keys, (0, spare))


def _centre(queries: Tensor, keys: Tensor) -> Tensor:
    """Return the median of the first key, the first query and 0, (batch, kv_heads, 1, dim).

    Neither an outlier among the two nor any later token moves it, so that causality holds to the
    bit. NaN makes it 0.
    """
    key = keys[:, :, :1].detach()
    query = (
        queries[:, :: queries.shape[1] // keys.shape[1], :1].detach() if queries.shape[2] else key
    )
    low, high = torch.minimum(query, key), torch.maximum(query, key)
    return (low.clamp_min(0) + high.clamp_max(0)).nan_to_num()


def _unable(request: Request) -> str | None:
    served = request.kernel in ("dot", "sq_l2")
    return None if served else f"it has dot, cosine and sq_l2, not {request.kernel}"


BACKEND = Backend("sdpa", _attend, _unable, takes_mask=True)
