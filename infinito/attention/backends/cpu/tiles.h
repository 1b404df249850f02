// Register tiles: the inner loops in which nearly all time goes, each at the ports' limit.
#pragma once
#include "call.h"

// Whether powers of differences leave the range of floats unless the differences are divided by the
// largest of their pair; as `PLAIN_EXPONENT` of metrics/lp.py has it.
inline bool needs_unit(float p) { return p > 4.0f; }

// The largest difference of each pair as a unit: never 0, and 1 where it is not finite.
inline vec unit_of(vec largest) {
  vec unit = at_least(largest, splat(1e-37f));
  return unit == splat(INF) ? splat(1.0f) : unit;
}

// scores[r][k] = bias[k] + row_bias[r] + Σ_d f(queries[r][d], turned[d][k]); for linf −max_d, and
// for lp the sum's root, of differences in units of `units[r][k]` where UNITS.
template <Kernel K, int N, bool UNITS>
void score_tile(const float* turned, const float* queries, int64_t stride, int64_t dim,
                const float* bias, const float* row_bias, float p, const float* units,
                float* scores) {
  vec acc[ROWS][N], shrink[ROWS][N];
  for (int r = 0; UNITS && r < ROWS; r++)
    for (int n = 0; n < N; n++)
      shrink[r][n] = splat(1.0f) / load(units + r * PANEL + n * LANES);
  for (int r = 0; r < ROWS; r++)
    for (int n = 0; n < N; n++) {
      vec start = load(bias + n * LANES) + splat(row_bias[r]);
      acc[r][n] = K == LINF ? absolute(start) : start;
    }
  const vec two = splat(2.0f);
  for (int64_t d = 0; d < dim; d++) {
    vec key[N];
    for (int n = 0; n < N; n++) key[n] = load(turned + d * PANEL + n * LANES);
    for (int r = 0; r < ROWS; r++) {
      vec query = splat(queries[r * stride + d]);
      for (int n = 0; n < N; n++) {
        if (K == DOT) acc[r][n] = fma(query, key[n], acc[r][n]);
        // Multiply-add and maximum leave by different ports; two additions would share one.
        if (K == L1) acc[r][n] = fnma(two, maximum(query, key[n]), acc[r][n]);
        if (K == L2 || K == SQ_L2) {
          vec gap = query - key[n];
          acc[r][n] = fnma(gap, gap, acc[r][n]);
        }
        if (K == LINF) acc[r][n] = larger(acc[r][n], absolute(query - key[n]));
        if (K == LP && !UNITS) acc[r][n] -= power(absolute(query - key[n]), p);
        if (K == LP && UNITS) acc[r][n] -= power(absolute(query - key[n]) * shrink[r][n], p);
      }
    }
  }
  for (int r = 0; r < ROWS; r++)
    for (int n = 0; n < N; n++) {
      vec s = acc[r][n];
      if (K == L2) s = -square_root(-s);
      if (K == LINF) s = -s;
      if (K == LP) s = -power(-s, 1.0f / p);
      if (UNITS) s *= load(units + r * PANEL + n * LANES);
      store(scores + r * PANEL + n * LANES, s);
    }
}

// The scores of lp with a large p: a first pass finds the units.
template <int N>
void score_tile_in_units(const float* turned, const float* queries, int64_t stride, int64_t dim,
                         const float* bias, const float* row_bias, float p, float* scores) {
  const float nothing[PANEL] = {};
  float units[ROWS * PANEL];
  score_tile<LINF, N, false>(turned, queries, stride, dim, nothing, nothing, p, nullptr, units);
  for (int r = 0; r < ROWS; r++)
    for (int n = 0; n < N; n++) {
      float* here = units + r * PANEL + n * LANES;
      store(here, unit_of(-load(here)));
    }
  score_tile<LP, N, true>(turned, queries, stride, dim, bias, row_bias, p, units, scores);
}

template <Kernel K, int N = TILE_VECTORS>
void score_slices(int slices, const float* turned, const float* queries, int64_t stride,
                  int64_t dim, const float* bias, const float* row_bias, float p, float* scores) {
  for (; slices >= N; slices -= N) {
    if (K == LP && needs_unit(p))
      score_tile_in_units<N>(turned, queries, stride, dim, bias, row_bias, p, scores);
    else
      score_tile<K, N, false>(turned, queries, stride, dim, bias, row_bias, p, nullptr, scores);
    turned += N * LANES, bias += N * LANES, scores += N * LANES;
  }
  if constexpr (N > 1)
    score_slices<K, N - 1>(slices, turned, queries, stride, dim, bias, row_bias, p, scores);
}

// out[r] += Σ_j weights[r][j]·rows[j] for ROWS rows and `count` keys.
template <int N>
void mix_tile(const float* weights, const float* rows, int64_t stride, int64_t count, float* out,
              int64_t width) {
  vec acc[ROWS][N];
  for (int r = 0; r < ROWS; r++)
    for (int n = 0; n < N; n++) acc[r][n] = load(out + r * width + n * LANES);
  for (int64_t j = 0; j < count; j++) {
    vec row[N];
    for (int n = 0; n < N; n++) row[n] = load(rows + j * stride + n * LANES);
    for (int r = 0; r < ROWS; r++) {
      vec weight = splat(weights[r * PANEL + j]);
      for (int n = 0; n < N; n++) acc[r][n] = fma(weight, row[n], acc[r][n]);
    }
  }
  for (int r = 0; r < ROWS; r++)
    for (int n = 0; n < N; n++) store(out + r * width + n * LANES, acc[r][n]);
}

template <int N = TILE_VECTORS>
void mix(const float* weights, const float* rows, int64_t stride, int64_t count, float* out,
         int64_t width, int64_t done = 0) {
  for (; width - done >= N * LANES; done += N * LANES)
    mix_tile<N>(weights, rows + done, stride, count, out + done, width);
  if constexpr (N > 1) mix<N - 1>(weights, rows, stride, count, out, width, done);
}

// sums[j] += Σ_i weights[i][j]·rows[i] for 4 keys and `count` queries.
template <int N>
void gather_tile(const float* weights, const float* rows, int64_t stride, int64_t count,
                 float* sums, int64_t sum_stride) {
  vec acc[4][N];
  for (int j = 0; j < 4; j++)
    for (int n = 0; n < N; n++) acc[j][n] = load(sums + j * sum_stride + n * LANES);
  for (int64_t i = 0; i < count; i++) {
    vec row[N];
    for (int n = 0; n < N; n++) {
      row[n] = load(rows + i * stride + n * LANES);
      hold(row[n]);
    }
    for (int j = 0; j < 4; j++) {
      vec weight = splat(weights[i * PANEL + j]);
      for (int n = 0; n < N; n++) acc[j][n] = fma(weight, row[n], acc[j][n]);
    }
  }
  for (int j = 0; j < 4; j++)
    for (int n = 0; n < N; n++) store(sums + j * sum_stride + n * LANES, acc[j][n]);
}

template <int N = TILE_VECTORS>
void gather(const float* weights, const float* rows, int64_t stride, int64_t count, float* sums,
            int64_t sum_stride, int64_t width, int64_t done = 0) {
  for (; width - done >= N * LANES; done += N * LANES)
    gather_tile<N>(weights, rows + done, stride, count, sums + done, sum_stride);
  if constexpr (N > 1)
    gather<N - 1>(weights, rows, stride, count, sums, sum_stride, width, done);
}

// How many features of a query are as far from those of LANES keys as the farthest; 1 at least.
inline vec count_ties(const float* turned, const float* query, int64_t dim, vec largest) {
  vec count = splat(0.0f);
  for (int64_t d = 0; d < dim; d++) {
    vec gap = absolute(splat(query[d]) - load(turned + d * PANEL));
    count += gap >= largest ? splat(1.0f) : splat(0.0f);
  }
  return at_least(count, splat(1.0f));
}

struct Slopes {  // of one block of queries and one panel of keys
  const float *queries, *keys;
  float *grad_queries, *grad_keys;
  int64_t query_stride, key_stride, grad_query_stride, grad_key_stride;
  const float* distances;  // of each pair (linf, lp)
  float p;
};

// Gradients of 4 keys and `count` queries from the slopes of their scores. A slope is the score's
// gradient times what the step below leaves out: −1/STEP (l1), 1/score (l2, lp), −2 (sq_l2), and for
// linf 1/(score · features that tie).
template <Kernel K, int N>
void slope_tile(const float* slopes, const Slopes& s, int64_t i0, int64_t j0, int64_t count,
                int64_t done) {
  vec key[4][N], grad[4][N];
  float* grad_keys = s.grad_keys + j0 * s.grad_key_stride + done;
  for (int j = 0; j < 4; j++)
    for (int n = 0; n < N; n++) {
      key[j][n] = load(s.keys + (j0 + j) * s.key_stride + done + n * LANES);
      grad[j][n] = load(grad_keys + j * s.grad_key_stride + n * LANES);
    }
  for (int64_t i = i0; i < count; i++) {
    vec query[N], mine[N];
    float* grad_query = s.grad_queries + i * s.grad_query_stride + done;
    for (int n = 0; n < N; n++) {
      query[n] = load(s.queries + i * s.query_stride + done + n * LANES);
      mine[n] = load(grad_query + n * LANES);
    }
    for (int j = 0; j < 4; j++) {
      vec slope = splat(slopes[i * PANEL + j0 + j]);
      for (int n = 0; n < N; n++) {
        vec step = query[n] - key[j][n];
        if (K == L1) step = sign_step(step);
        if (K == LINF || K == LP) {
          vec distance = splat(s.distances[i * PANEL + j0 + j]), size = absolute(step);
          if (K == LINF) step = size >= distance ? step : splat(0.0f);
          if (K == LP) step *= power(size / maximum(distance, splat(1e-37f)), s.p - 2.0f);
        }
        mine[n] = fma(slope, K == DOT ? key[j][n] : step, mine[n]);
        grad[j][n] = K == DOT ? fma(slope, query[n], grad[j][n]) : fnma(slope, step, grad[j][n]);
      }
    }
    for (int n = 0; n < N; n++) store(grad_query + n * LANES, mine[n]);
  }
  for (int j = 0; j < 4; j++)
    for (int n = 0; n < N; n++) store(grad_keys + j * s.grad_key_stride + n * LANES, grad[j][n]);
}

template <Kernel K>
void apply_slopes(const float* slopes, const Slopes& s, int64_t i0, int64_t j0, int64_t count,
                  int64_t width) {
  constexpr int N = TILE_VECTORS / 2;
  int64_t done = 0;
  for (; width - done >= N * LANES; done += N * LANES)
    slope_tile<K, N>(slopes, s, i0, j0, count, done);
  for (; done < width; done += LANES) slope_tile<K, 1>(slopes, s, i0, j0, count, done);
}
