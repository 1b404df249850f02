"""The Triton kernels: forward, gradient of queries, gradient of keys and values.

No score matrix is stored and nothing is added atomically: each program owns its rows. Queries and
keys come transposed, (batch · heads, dim, time), so that one feature of many tokens is contiguous.
Tiles have one feature at a time: a score is Σ|q − k| or √Σ(q − k)², which no matrix unit computes.
"""

# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
# (Triton compiles the source: arguments are no Python values, and only constants can be typed)
# ruff: noqa: N803  (compile-time arguments are in capitals, as Triton has them)
from __future__ import annotations

import triton
import triton.language as tl

PRECISION = tl.constexpr("tf32x3")  # of float32 products: as exact as float32 to a few units


@triton.jit
def distances(rows, cols, row, col, time_rows, time_cols, DIM: tl.constexpr, L1: tl.constexpr):
    """Return the distances (rows, cols) of two sets of tokens, given where they start."""
    total = tl.zeros((row.shape[0], col.shape[0]), tl.float32)
    for d in range(DIM):
        a = tl.load(rows + d * time_rows + row, mask=row < time_rows, other=0.0).to(tl.float32)
        b = tl.load(cols + d * time_cols + col, mask=col < time_cols, other=0.0).to(tl.float32)
        gap = a[:, None] - b[None, :]
        total += tl.abs(gap) if L1 else gap * gap
    return total if L1 else tl.sqrt(total)


@triton.jit
def add_gradient(
    grads, rows, cols, row, col, slopes, time_rows, time_cols, DIM: tl.constexpr, L1: tl.constexpr
):
    """Add Σ over cols of slope · d|row − col| to the gradients of the rows that a program owns."""
    real = row < time_rows
    for d in range(DIM):
        a = tl.load(rows + d * time_rows + row, mask=real, other=0.0).to(tl.float32)
        b = tl.load(cols + d * time_cols + col, mask=col < time_cols, other=0.0).to(tl.float32)
        gap = a[:, None] - b[None, :]
        signed = tl.where(gap > 0, slopes, tl.where(gap < 0, -slopes, 0.0))
        steps = signed if L1 else slopes * gap
        mine = grads + d * time_rows + row
        tl.store(mine, tl.load(mine, mask=real, other=0.0) + tl.sum(steps, 1), mask=real)


@triton.jit
def sees(query, key, padding, time_q, time_k, CAUSAL: tl.constexpr, PADDED: tl.constexpr):
    """Return which keys queries see; both come with axes that broadcast."""
    visible = (key < time_k) & (query < time_q)
    if CAUSAL:
        visible = visible & (key <= query + time_k - time_q)
    if PADDED:
        visible = visible & (tl.load(padding + key, mask=key < time_k, other=0) != 0)
    return visible


@triton.jit
def compute_slopes(distance, weights, products, delta, factor, L1: tl.constexpr):
    """Return the gradient of the loss in each distance, over the distance itself for l2."""
    slopes = -factor * weights * (products - delta)
    if not L1:
        slopes = tl.where(distance > 0, slopes / tl.where(distance > 0, distance, 1.0), 0.0)
    return slopes


@triton.jit
def forward(
    queries, keys, values, padding, out, log_sums, _factor, bits, heads, group, time_q, time_k,
    DIM: tl.constexpr, WIDTH: tl.constexpr, WIDE: tl.constexpr, ROWS: tl.constexpr,
    COLS: tl.constexpr, CAUSAL: tl.constexpr, PADDED: tl.constexpr, L1: tl.constexpr,
):  # fmt: skip
    """Outputs and log₂ Σ exp(score) of ROWS queries of one head."""
    head = tl.program_id(1).to(tl.int64)
    kv_head = head // group
    queries += head * DIM * time_q
    keys += kv_head * DIM * time_k
    values += kv_head * time_k * WIDTH
    padding += head // heads * time_k
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    wide = tl.arange(0, WIDE)
    top = tl.full((ROWS,), float("-inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    mixed = tl.zeros((ROWS, WIDE), tl.float32)
    stop = time_k
    if CAUSAL:
        stop = tl.minimum(time_k, (tl.program_id(0) + 1) * ROWS + time_k - time_q)
    for start in range(0, stop, COLS):
        col = start + tl.arange(0, COLS)
        distance = distances(queries, keys, row, col, time_q, time_k, DIM, L1)
        visible = sees(row[:, None], col[None, :], padding, time_q, time_k, CAUSAL, PADDED)
        scores = tl.where(visible, -bits * distance, float("-inf"))
        higher = tl.maximum(top, tl.max(scores, 1))
        reference = tl.where(higher == float("-inf"), 0.0, higher)
        weights = tl.exp2(scores - reference[:, None])
        shrink = tl.exp2(top - reference)
        there = (col[:, None] < time_k) & (wide[None, :] < WIDTH)
        value = tl.load(values + col[:, None] * WIDTH + wide[None, :], mask=there, other=0.0)
        mixed = mixed * shrink[:, None]
        mixed = tl.dot(weights.to(value.dtype), value, mixed, input_precision=PRECISION)
        total = total * shrink + tl.sum(weights, 1)
        top = higher
    some = total > 0
    mixed = mixed / tl.where(some, total, 1.0)[:, None]
    there = (row[:, None] < time_q) & (wide[None, :] < WIDTH)
    tl.store(out + (head * time_q + row[:, None]) * WIDTH + wide[None, :], mixed, mask=there)
    log_sum = tl.where(some, top + tl.log2(tl.where(some, total, 1.0)), 0.0)
    tl.store(log_sums + head * time_q + row, log_sum, mask=row < time_q)


@triton.jit
def backward_queries(
    queries, keys, values, padding, grad_out, log_sums, deltas, grad_queries, factor, bits, heads,
    group, time_q, time_k, DIM: tl.constexpr, WIDTH: tl.constexpr, WIDE: tl.constexpr,
    ROWS: tl.constexpr, COLS: tl.constexpr, CAUSAL: tl.constexpr, PADDED: tl.constexpr,
    L1: tl.constexpr,
):  # fmt: skip
    """Add the gradient of ROWS queries of one head to zeros, (batch · heads, dim, time_q)."""
    head = tl.program_id(1).to(tl.int64)
    kv_head = head // group
    queries += head * DIM * time_q
    grad_queries += head * DIM * time_q
    keys += kv_head * DIM * time_k
    values += kv_head * time_k * WIDTH
    padding += head // heads * time_k
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    wide = tl.arange(0, WIDE)
    there = (row[:, None] < time_q) & (wide[None, :] < WIDTH)
    place = grad_out + (head * time_q + row[:, None]) * WIDTH + wide[None, :]
    slope = tl.load(place, mask=there, other=0.0)
    log_sum = tl.load(log_sums + head * time_q + row, mask=row < time_q, other=0.0)
    delta = tl.load(deltas + head * time_q + row, mask=row < time_q, other=0.0)
    stop = time_k
    if CAUSAL:
        stop = tl.minimum(time_k, (tl.program_id(0) + 1) * ROWS + time_k - time_q)
    for start in range(0, stop, COLS):
        col = start + tl.arange(0, COLS)
        distance = distances(queries, keys, row, col, time_q, time_k, DIM, L1)
        visible = sees(row[:, None], col[None, :], padding, time_q, time_k, CAUSAL, PADDED)
        weights = tl.exp2(-bits * distance - log_sum[:, None])
        weights = tl.where(visible, weights, 0.0)
        real = (col[None, :] < time_k) & (wide[:, None] < WIDTH)
        value = tl.load(values + col[None, :] * WIDTH + wide[:, None], mask=real, other=0.0)
        products = tl.dot(slope, value, input_precision=PRECISION)
        slopes = compute_slopes(distance, weights, products, delta[:, None], factor, L1)
        add_gradient(grad_queries, queries, keys, row, col, slopes, time_q, time_k, DIM, L1)


@triton.jit
def backward_keys(
    queries, keys, values, padding, grad_out, log_sums, deltas, grad_keys, grad_values, factor,
    bits, heads, group, time_q, time_k, DIM: tl.constexpr, WIDTH: tl.constexpr, WIDE: tl.constexpr,
    ROWS: tl.constexpr, COLS: tl.constexpr, CAUSAL: tl.constexpr, PADDED: tl.constexpr,
    L1: tl.constexpr,
):  # fmt: skip
    """Add the gradient of ROWS keys of one head to zeros, and write that of their values."""
    kv_head = tl.program_id(1).to(tl.int64)
    keys += kv_head * DIM * time_k
    grad_keys += kv_head * DIM * time_k
    padding += kv_head * group // heads * time_k
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    wide = tl.arange(0, WIDE)
    there = (row[:, None] < time_k) & (wide[None, :] < WIDTH)
    place = (kv_head * time_k + row[:, None]) * WIDTH + wide[None, :]
    value = tl.load(values + place, mask=there, other=0.0)
    mixed = tl.zeros((ROWS, WIDE), tl.float32)
    first = 0
    if CAUSAL:
        first = tl.maximum(0, tl.program_id(0) * ROWS - (time_k - time_q)) // COLS * COLS
    for head in range(kv_head * group, (kv_head + 1) * group):
        for start in range(first, time_q, COLS):
            col = start + tl.arange(0, COLS)
            mine = queries + head * DIM * time_q
            distance = distances(keys, mine, row, col, time_k, time_q, DIM, L1)
            visible = sees(col[None, :], row[:, None], padding, time_q, time_k, CAUSAL, PADDED)
            log_sum = tl.load(log_sums + head * time_q + col, mask=col < time_q, other=0.0)
            delta = tl.load(deltas + head * time_q + col, mask=col < time_q, other=0.0)
            weights = tl.exp2(-bits * distance - log_sum[None, :])
            weights = tl.where(visible, weights, 0.0)
            real = (col[:, None] < time_q) & (wide[None, :] < WIDTH)
            theirs = grad_out + (head * time_q + col[:, None]) * WIDTH + wide[None, :]
            slope = tl.load(theirs, mask=real, other=0.0)
            mixed = tl.dot(weights.to(slope.dtype), slope, mixed, input_precision=PRECISION)
            products = tl.dot(value, tl.trans(slope), input_precision=PRECISION)
            slopes = compute_slopes(distance, weights, products, delta[None, :], factor, L1)
            add_gradient(grad_keys, keys, mine, row, col, slopes, time_k, time_q, DIM, L1)
    tl.store(grad_values + place, mixed, mask=there)
