// The forward of one or two queries per head: keys are read once where they are, nothing is packed.
#pragma once
#include "pack.h"
#include "pool.h"
#include "softmax.h"
#include "tiles.h"

inline bool few_queries(const Call& c) {
  return c.time_q <= 2 && c.time_q * c.group() <= BLOCK;
}

// Scores of one query with a panel of `count` keys; of lp in units of `units[key]` where UNITS.
template <Kernel K, bool UNITS = false>
void score_row(const float* query, const float* keys, int64_t stride, int64_t count, int64_t dim,
               const float* bias, float p, float* scores, const float* units = nullptr) {
  for (int k = 0; k < PANEL; k += LANES) {
    vec parts[LANES];
    for (int i = 0; i < LANES; i++) {
      const float* key = keys + std::min<int64_t>(k + i, count - 1) * stride;
      vec part = splat(0.0f), shrink = splat(UNITS ? 1.0f / units[k + i] : 1.0f);
      for (int64_t d = 0; d < dim; d += LANES) {
        vec q = load(query + d), x = load_part(key + d, dim - d), gap = q - x;
        if (K == DOT) part = fma(q, x, part);
        if (K == L1) part -= absolute(gap);
        if (K == L2 || K == SQ_L2) part = fnma(gap, gap, part);
        if (K == LINF) part = larger(part, absolute(gap));
        if (K == LP) part += power(UNITS ? absolute(gap) * shrink : absolute(gap), p);
      }
      parts[i] = part;
    }
    vec s = across(parts, [](vec a, vec b) { return K == LINF ? larger(a, b) : a + b; });
    if (K == L2) s = -square_root(-s);
    if (K == LINF) s = -s;
    if (K == LP) s = -power(s, 1.0f / p);
    if (UNITS) s *= load(units + k);
    store(scores + k, s + load(bias + k));
  }
}

// As `score_row`, of lp with a large p.
inline void score_row_in_units(const float* query, const float* keys, int64_t stride,
                               int64_t count, int64_t dim, const float* bias, float p,
                               float* scores) {
  const float nothing[PANEL] = {};
  float units[PANEL];
  score_row<LINF>(query, keys, stride, count, dim, nothing, p, units);
  for (int k = 0; k < PANEL; k += LANES) store(units + k, unit_of(-load(units + k)));
  score_row<LP, true>(query, keys, stride, count, dim, bias, p, scores, units);
}

// out += Σ_j weights[j]·values[j], even and odd keys apart, so that two sums run side by side.
inline void mix_row(const float* weights, const float* values, int64_t stride, int64_t count,
                    int64_t dim, float* out) {
  for (int64_t d = 0; d < dim; d += LANES) {
    vec even = load(out + d), odd = splat(0.0f);
    int64_t j = 0;
    for (; j + 2 <= count; j += 2) {
      even = fma(splat(weights[j]), load_part(values + j * stride + d, dim - d), even);
      odd = fma(splat(weights[j + 1]), load_part(values + (j + 1) * stride + d, dim - d), odd);
    }
    if (j < count) even = fma(splat(weights[j]), load_part(values + j * stride + d, dim - d), even);
    store(out + d, even + odd);
  }
}

// All queries that share one head of keys.
template <Kernel K>
void decode_head(const Call& c, int64_t b, int64_t kv_head) {
  const int64_t rows = c.group() * c.time_q, width = padded(c.dim);
  own_scratch.reserve(BLOCK * (width + padded(c.value_dim)) + 2 * PANEL + 64);
  float *bias = own_scratch.take(PANEL), *scores = own_scratch.take(PANEL);
  float* queries = own_scratch.take(BLOCK * width);
  Softmax softmax(c, own_scratch.take(BLOCK * padded(c.value_dim)), rows);
  const Dropout dropout(c);
  for (int64_t r = 0; r < rows; r++)
    pack_rows(c.queries.row(b, kv_head * c.group() + r / c.time_q, r % c.time_q), 0, 1, c.dim,
              nullptr, 1, queries + r * width);
  for (int64_t base = 0; base < c.time_k; base += PANEL) {
    key_mask(c, b, base, bias);
    int64_t count = std::min<int64_t>(PANEL, c.time_k - base);
    for (int64_t r = 0; r < rows; r++) {
      int64_t h = kv_head * c.group() + r / c.time_q, query = r % c.time_q;
      int64_t limit = std::min<int64_t>(c.limit(query) - base, count - 1);
      if (limit < 0) continue;
      const float *query_row = queries + r * width, *keys = c.keys.row(b, kv_head, base);
      if (K == LP && needs_unit(float(c.p)))
        score_row_in_units(query_row, keys, c.keys.time, count, c.dim, bias, float(c.p), scores);
      else
        score_row<K>(query_row, keys, c.keys.time, count, c.dim, bias, float(c.p), scores);
      hide(scores, limit);
      softmax.soften(scores, r);
      drop(dropout, c.row_number(b, h, query), base, scores);
      mix_row(scores, c.values.row(b, kv_head, base), c.values.time, limit + 1, c.value_dim,
              softmax.out + r * softmax.width);
    }
  }
  for (int64_t r = 0; r < rows; r++)
    softmax.finish(c, r, b, kv_head * c.group() + r / c.time_q, r % c.time_q);
}

template <Kernel K>
void decode(const Call& c) {
  pool->run(c.threads, c.batch * c.kv_heads,
            [&](int64_t unit) { decode_head<K>(c, unit / c.kv_heads, unit % c.kv_heads); });
}
