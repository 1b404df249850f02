// The running softmax of a few queries: weights relative to a reference that moves when it must.
#pragma once
#include "call.h"

constexpr float LOG2_E = 1.44269504f;
constexpr float SLACK = 8.0f;  // weights may reach 2^SLACK before their reference moves

struct Softmax {
  float reference[BLOCK];  // in bits
  vec total[BLOCK], weighted[BLOCK], best[BLOCK];
  float *out, bits;  // rows of weighted values; the scores' factor, in bits
  int64_t width;
  bool statistics;

  Softmax(const Call& c, float* rows, int64_t count)
      : out(rows), bits(float(c.factor) * LOG2_E), width(padded(c.value_dim)),
        statistics(c.statistics != nullptr) {
    for (int64_t r = 0; r < count; r++) {
      reference[r] = -INF;
      total[r] = weighted[r] = splat(0.0f);
      best[r] = splat(-INF);
    }
    std::memset(out, 0, sizeof(float) * count * width);
  }

  // Turns a panel's scores of row r into weights and counts them.
  void soften(float* scores, int64_t r) {
    vec s[SLICES], top = splat(-INF);
    for (int n = 0; n < SLICES; n++) {
      s[n] = load(scores + n * LANES) * splat(bits);
      top = maximum(s[n], top);
    }
    if (any_above(top, splat(reference[r] + SLACK))) move(r, largest(top));
    vec from = splat(reference[r] == -INF ? 0.0f : reference[r]), more = splat(0.0f);
    if (statistics) best[r] = maximum(top, best[r]);
    for (int n = 0; n < SLICES; n++) {
      vec weight = exp2(s[n] - from);
      store(scores + n * LANES, weight);
      more += weight;
      if (statistics) {
        vec seen = s[n] == splat(-INF) ? splat(0.0f) : s[n];
        weighted[r] = fma(weight, seen, weighted[r]);
      }
    }
    total[r] += more;
  }

  // Writes row r's outputs and what the backward needs to find its weights again.
  void finish(const Call& c, int64_t r, int64_t b, int64_t h, int64_t query) {
    float sum_of_weights = sum(total[r]);
    vec share = splat(sum_of_weights == 0 ? 0.0f : 1.0f / sum_of_weights);
    float *from = out + r * width, *to = c.out.row(b, h, query);
    for (int64_t d = 0; d < width; d += LANES) {
      vec x = load(from + d) * share;
      if (d + LANES <= c.value_dim) {
        store(to + d, x);
      } else {
        store(from + d, x);
        std::memcpy(to + d, from + d, size_t(c.value_dim - d) * 4);
      }
    }
    int64_t number = 2 * c.row_number(b, h, query);
    c.softmax[number] = reference[r];
    c.softmax[number + 1] = sum_of_weights;
    if (!statistics) return;
    c.statistics[number] = sum(weighted[r]);
    c.statistics[number + 1] = largest(best[r]);
  }

 private:
  void move(int64_t r, float top) {
    vec shrink = exp2(splat(reference[r] - top));
    reference[r] = top;
    total[r] *= shrink;
    weighted[r] *= shrink;
    for (int64_t d = 0; d < width; d += LANES)
      store(out + r * width + d, load(out + r * width + d) * shrink);
  }
};

// Scores of a panel's keys after `limit` become −∞.
inline void hide(float* scores, int64_t limit) {
  if (limit >= PANEL - 1) return;
  for (int first = 0; first < PANEL; first += LANES) {
    word allowed = splat_word(uint32_t(std::clamp<int64_t>(limit + 1 - first, 0, LANES)));
    store(scores + first, lane_numbers() < allowed ? load(scores + first) : splat(-INF));
  }
}

inline void drop(const Dropout& dropout, int64_t row, int64_t first, float* weights) {
  if (!dropout.threshold) return;
  uint64_t key = dropout.row_key(row);
  for (int k = 0; k < PANEL; k += LANES)
    store(weights + k, load(weights + k) * dropout.factor(key, first + k));
}
