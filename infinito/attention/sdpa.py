"""The exact routes through torch's scaled dot-product attention, for dot, cosine and sq_l2."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from infinito.attention.backend import Backend, Request
from infinito.attention.masking import visible_keys


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, request: Request, key_padding: Tensor | None
) -> Tensor:
    time_q, time_k = request.time_q, request.time_k
    square = request.causal and time_q == time_k and key_padding is None
    mask = None
    if not square:
        mask = visible_keys(
            time_q, time_k, causal=request.causal, key_padding=key_padding, device=queries.device
        )
    return scaled_dot_product_attention(
        queries,
        keys,
        values,
        attn_mask=mask,
        dropout_p=request.dropout_p,
        is_causal=square,
        scale=request.factor,
        enable_gqa=request.heads != request.kv_heads,
    )


def _unable(request: Request) -> str | None:
    return None if request.kernel == "dot" else f"it has dot, not {request.kernel}"


BACKEND = Backend("sdpa", _attend, _unable, takes_mask=True, takes_factor=True)
