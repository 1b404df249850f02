// Rows and panels laid out for the register tiles, and what is constant in a row or a key's column.
#pragma once
#include "call.h"

struct Rows {  // of one head, padded to whole vectors
  float* data;
  int64_t stride;
  float* at(int64_t t) const { return data + t * stride; }
};

// Whether rows of this width can be read and written where they are.
inline bool whole_vectors(int64_t dim) { return dim % LANES == 0; }

// Rows side by side, less `centre` where given, filled with zeros up to `rows` x `width`.
inline Rows pack_rows(const float* from, int64_t stride, int64_t count, int64_t dim,
                      const float* centre, int rows, float* to) {
  const int64_t width = padded(dim);
  for (int64_t d = 0; d < width; d += LANES) {
    vec middle = centre ? load_part(centre + d, dim - d) : splat(0.0f);
    for (int r = 0; r < rows; r++)
      store(to + r * width + d,
            r < count ? load_part(from + r * stride + d, dim - d) - middle : splat(0.0f));
  }
  return {to, width};
}

// A panel turned to (dim, PANEL), less `centre` where given, zeros after `count` keys.
inline void pack_turned(const float* from, int64_t stride, int64_t count, int64_t dim,
                        const float* centre, float* to) {
  for (int64_t d = 0; d < dim; d += LANES) {
    vec middle = centre ? load_part(centre + d, dim - d) : splat(0.0f);
    for (int k = 0; k < PANEL; k += LANES) {
      vec square[LANES];
      for (int i = 0; i < LANES; i++)
        square[i] = k + i < count ? load_part(from + (k + i) * stride + d, dim - d) - middle
                                  : splat(0.0f);
      transpose(square);
      for (int i = 0; i < LANES && d + i < dim; i++) store(to + (d + i) * PANEL + k, square[i]);
    }
  }
}

// Σ over a row, less `centre`.
inline float row_total(const float* row, int64_t dim, const float* centre) {
  vec total = splat(0.0f);
  for (int64_t d = 0; d < dim; d += LANES)
    total += load_part(row + d, dim - d) - load_part(centre + d, dim - d);
  return sum(total);
}

// −∞ where there is no key to see, else 0.
inline void key_mask(const Call& c, int64_t b, int64_t first, float* bias) {
  for (int k = 0; k < PANEL; k++) {
    int64_t key = first + k;
    bool real = key < c.time_k && !(c.padding && !c.padding[b * c.time_k + key]);
    bias[k] = real ? 0.0f : -INF;
  }
}

// What a key adds to each of its scores: Σk for l1, and −∞ where there is no key to see.
inline void key_bias(const Call& c, int64_t b, int64_t first, const float* turned, float* bias) {
  key_mask(c, b, first, bias);
  if (c.kernel != L1) return;
  for (int k = 0; k < PANEL; k += LANES) {
    vec total = splat(0.0f);
    for (int64_t d = 0; d < c.dim; d++) total += load(turned + d * PANEL + k);
    store(bias + k, load(bias + k) + total);
  }
}

// Of the first real key, the query that is there and 0 the middle one, feature by feature: it takes
// out an offset that all share, and is not moved by one of the two that lies far off. Every row that
// sees a key stands behind both, so causality is kept. NaN makes it 0 or the other.
inline const float* centre_of(const Call& c, int64_t b, int64_t kv_head, float* to) {
  if (c.kernel != L1 || !c.time_q) return nullptr;
  int64_t first = 0;
  if (c.padding)
    while (first < c.time_k - 1 && !c.padding[b * c.time_k + first]) first++;
  const int64_t there = std::clamp<int64_t>(first - c.limit(0), 0, c.time_q - 1);
  const float* key = c.keys.row(b, kv_head, first);
  const float* query = c.queries.row(b, kv_head * c.group(), there);
  for (int64_t d = 0; d < c.dim; d++)
    to[d] = std::clamp(0.0f, std::min(query[d], key[d]), std::max(query[d], key[d]));
  return to;
}
