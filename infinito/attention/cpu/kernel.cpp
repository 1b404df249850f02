// Fused attention on a CPU: forward with an online softmax, and a backward that recomputes scores.
//
// Scores are q·k, −‖q−k‖₁, −‖q−k‖₂ or −‖q−k‖₂², times one factor.
// Work goes in tiles of 6 queries by 64 keys, so memory is linear in time. Everything a row or a
// key sums up is summed in one fixed order, whatever the number of threads.
//
// The l1 score takes a maximum and a multiply-add per element: Σ|q−k| = Σq + Σk − 2·Σmax(q, k),
// with q and k measured from the first key, so that a common offset cancels.
#include "fused_cpu_pool.h"
#include "fused_cpu_vector.h"

#include <cstdlib>
#include <memory>
#include <vector>

namespace {

constexpr int ROWS = 6, PANEL = 64, BLOCK = 24;  // a panel of keys, a block of queries
constexpr int CODES = PANEL / LANES;             // vectors in a row of a panel
constexpr float LOG2_E = 1.44269504f;
constexpr float SLACK = 8.0f;  // weights may reach 2^SLACK before their reference is moved

enum Kernel : int64_t { DOT, L1, L2, SQ_L2 };

struct View {  // (batch, heads, time, dim) with any strides but that of dim, which is 1
  float* data;
  int64_t batch, head, time;
  float* row(int64_t b, int64_t h, int64_t t) const {
    return data + b * batch + h * head + t * time;
  }
};

struct Call {
  View queries, keys, values, out, grad_out, grad_queries, grad_keys, grad_values;
  float* softmax;          // (batch, heads, time_q, 2): reference (in bits) and sum of weights
  float* statistics;       // (batch, heads, time_q, 2): Σ weight·score and largest score, or null
  const uint8_t* padding;  // (batch, time_k), 1 for a real token, or null
  int64_t batch, heads, kv_heads, time_q, time_k, dim, value_dim, kernel, causal, threads;
  uint64_t seed;
  double dropout_p, factor;  // of the scores

  // Position of the last key that a query sees; below 0 when it sees none.
  int64_t limit(int64_t query) const { return causal ? query + time_k - time_q : time_k - 1; }
  int64_t panels() const { return (time_k + PANEL - 1) / PANEL; }
  int64_t blocks() const { return (time_q + BLOCK - 1) / BLOCK; }
  int64_t row_number(int64_t b, int64_t h, int64_t t) const { return (b * heads + h) * time_q + t; }
};

int padded(int64_t dim) { return int((dim + LANES - 1) / LANES * LANES); }

// Memory of one thread, kept between calls; `take` hands out aligned pieces of it.
class Scratch {
 public:
  void reserve(size_t floats) {
    used_ = 0;
    if (floats <= size_) return;
    data_.reset(static_cast<float*>(std::aligned_alloc(64, (floats * 4 + 63) / 64 * 64)));
    if (!data_) throw std::bad_alloc();
    size_ = floats;
  }
  float* take(size_t floats) {
    float* piece = data_.get() + used_;
    used_ += (floats + 15) / 16 * 16;
    return piece;
  }
  size_t mark() const { return used_; }
  void rewind(size_t mark) { used_ = mark; }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float, Free> data_;
  size_t size_ = 0, used_ = 0;
};
thread_local Scratch shared_scratch, own_scratch;

// Dropout: a weight's fate is a hash of the seed and its place, so it is the same in the backward.
struct Dropout {
  uint32_t threshold = 0;
  float keep = 1.0f;
  uint64_t seed = 0;

  explicit Dropout(const Call& c) : seed(c.seed) {
    if (c.dropout_p <= 0) return;
    threshold = uint32_t(std::min(c.dropout_p * 4294967296.0, 4294967295.0));
    keep = float(1.0 / (1.0 - c.dropout_p));
  }
  uint64_t row_key(int64_t row) const {
    uint64_t x = seed + 0x9E3779B97F4A7C15ull * uint64_t(row + 1);
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
  }
  // 0 or 1/(1 - p) for LANES keys from `first` on.
  vec factor(uint64_t key, int64_t first) const {
    word x = (lane_numbers() + uint32_t(first)) * 0x9E3779B1u ^ uint32_t(key);
    x = (x ^ (x >> 16)) * 0x85EBCA6Bu ^ uint32_t(key >> 32);
    x = (x ^ (x >> 13)) * 0xC2B2AE35u;
    x = x ^ (x >> 16);
    return x >= splat_word(threshold) ? splat(keep) : splat(0.0f);
  }
};

// ---- packing

vec load_part(const float* p, int64_t count) {
  if (count >= LANES) return load(p);
  float whole[LANES] = {};
  std::memcpy(whole, p, size_t(std::max<int64_t>(count, 0)) * 4);
  return load(whole);
}

// Rows side by side, less `centre` where given, filled with zeros up to `rows` x `width`.
void pack_rows(const float* from, int64_t stride, int64_t count, int64_t dim, const float* centre,
               float* to, int rows, int width) {
  for (int r = 0; r < rows; r++)
    for (int d = 0; d < width; d += LANES) {
      vec x = splat(0.0f);
      if (r < count) {
        x = load_part(from + r * stride + d, dim - d);
        if (centre) x -= load_part(centre + d, dim - d);
      }
      store(to + r * width + d, x);
    }
}

// A panel turned to (dim, PANEL), less `centre` where given, zeros after `count` keys.
void pack_turned(const float* from, int64_t stride, int64_t count, int64_t dim, const float* centre,
                 float* to) {
  for (int d = 0; d < dim; d += LANES) {
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

// What a key adds to each of its scores: Σk for l1, −∞ where there is no key to see.
void key_bias(const Call& c, int64_t b, int64_t first, const float* turned, float* bias) {
  for (int k = 0; k < PANEL; k += LANES) {
    vec total = splat(0.0f);
    if (c.kernel == L1)
      for (int d = 0; d < c.dim; d++) total += load(turned + d * PANEL + k);
    store(bias + k, total);
  }
  for (int k = 0; k < PANEL; k++) {
    int64_t key = first + k;
    if (key >= c.time_k || (c.padding && !c.padding[b * c.time_k + key])) bias[k] = -INF;
  }
}

// The first real key: every row that sees a key sees it too, so centring on it keeps causality.
const float* centre_of(const Call& c, int64_t b, int64_t kv_head) {
  if (c.kernel != L1) return nullptr;
  int64_t first = 0;
  if (c.padding)
    while (first < c.time_k - 1 && !c.padding[b * c.time_k + first]) first++;
  return c.keys.row(b, kv_head, first);
}

// ---- register tiles

// sums[r][n] += Σ_d f(q[r][d], turned[d][n]); f gives the kernel's part of the score.
template <Kernel K, int N>
void score_tile(const float* turned, const float* queries, int width, int64_t dim,
                const float* bias, const float* row_bias, float* scores) {
  vec acc[ROWS][N];
  for (int r = 0; r < ROWS; r++)
    for (int n = 0; n < N; n++) acc[r][n] = load(bias + n * LANES) + splat(row_bias[r]);
  const vec two = splat(2.0f);
  for (int64_t d = 0; d < dim; d++) {
    vec key[N];
    for (int n = 0; n < N; n++) key[n] = load(turned + d * PANEL + n * LANES);
    for (int r = 0; r < ROWS; r++) {
      vec query = splat(queries[r * width + d]);
      for (int n = 0; n < N; n++) {
        if (K == DOT) acc[r][n] = fma(query, key[n], acc[r][n]);
        if (K == L1) acc[r][n] = fnma(two, maximum(query, key[n]), acc[r][n]);
        if (K == L2 || K == SQ_L2) {
          vec gap = query - key[n];
          acc[r][n] = fnma(gap, gap, acc[r][n]);
        }
      }
    }
  }
  for (int r = 0; r < ROWS; r++)
    for (int n = 0; n < N; n++) {
      vec s = acc[r][n];
      store(scores + r * PANEL + n * LANES, K == L2 ? -square_root(-s) : s);
    }
}

template <Kernel K, int N = TILE_VECTORS>
void score_columns(int columns, const float* turned, const float* queries, int width, int64_t dim,
                   const float* bias, const float* row_bias, float* scores) {
  for (; columns >= N; columns -= N) {
    score_tile<K, N>(turned, queries, width, dim, bias, row_bias, scores);
    turned += N * LANES, bias += N * LANES, scores += N * LANES;
  }
  if constexpr (N > 1)
    score_columns<K, N - 1>(columns, turned, queries, width, dim, bias, row_bias, scores);
}

// out[r] += Σ_j weights[r][j]·rows[j] for ROWS rows and `count` keys.
template <int N>
void mix_tile(const float* weights, const float* rows, int64_t stride, int64_t count, float* out,
              int width) {
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
         int width, int done = 0) {
  for (; width - done >= N * LANES; done += N * LANES)
    mix_tile<N>(weights, rows + done, stride, count, out + done, width);
  if constexpr (N > 1) mix<N - 1>(weights, rows, stride, count, out, width, done);
}

// sums[j] += Σ_i weights[i][j]·rows[i] for 4 keys and `count` queries.
template <int N>
void gather_tile(const float* weights, const float* rows, int64_t count, float* sums, int width) {
  vec acc[4][N];
  for (int j = 0; j < 4; j++)
    for (int n = 0; n < N; n++) acc[j][n] = load(sums + j * width + n * LANES);
  for (int64_t i = 0; i < count; i++) {
    vec row[N];
    for (int n = 0; n < N; n++) row[n] = load(rows + i * width + n * LANES);
    for (int j = 0; j < 4; j++) {
      vec weight = splat(weights[i * PANEL + j]);
      for (int n = 0; n < N; n++) acc[j][n] = fma(weight, row[n], acc[j][n]);
    }
  }
  for (int j = 0; j < 4; j++)
    for (int n = 0; n < N; n++) store(sums + j * width + n * LANES, acc[j][n]);
}

template <int N = TILE_VECTORS>
void gather(const float* weights, const float* rows, int64_t count, float* sums, int width,
            int done = 0) {
  for (; width - done >= N * LANES; done += N * LANES)
    gather_tile<N>(weights, rows + done, count, sums + done, width);
  if constexpr (N > 1) gather<N - 1>(weights, rows, count, sums, width, done);
}

// Gradients of 4 keys and `count` queries from the slopes of their scores. A slope is the score's
// gradient divided by what the step below leaves out: −1/STEP (l1), −1/distance (l2), −2 (sq_l2).
template <Kernel K, int N>
void slope_tile(const float* slopes, const float* queries, const float* keys, int64_t count,
                float* grad_queries, float* grad_keys, int width) {
  vec key[4][N], grad[4][N];
  for (int j = 0; j < 4; j++)
    for (int n = 0; n < N; n++) {
      key[j][n] = load(keys + j * width + n * LANES);
      grad[j][n] = load(grad_keys + j * width + n * LANES);
    }
  for (int64_t i = 0; i < count; i++) {
    vec query[N], mine[N];
    for (int n = 0; n < N; n++) {
      query[n] = load(queries + i * width + n * LANES);
      mine[n] = load(grad_queries + i * width + n * LANES);
    }
    for (int j = 0; j < 4; j++) {
      vec slope = splat(slopes[i * PANEL + j]);
      for (int n = 0; n < N; n++) {
        if (K == DOT) {
          mine[n] = fma(slope, key[j][n], mine[n]);
          grad[j][n] = fma(slope, query[n], grad[j][n]);
        } else {
          vec step = query[n] - key[j][n];
          if (K == L1) step = sign_step(step);
          mine[n] = fma(slope, step, mine[n]);
          grad[j][n] = fnma(slope, step, grad[j][n]);
        }
      }
    }
    for (int n = 0; n < N; n++) store(grad_queries + i * width + n * LANES, mine[n]);
  }
  for (int j = 0; j < 4; j++)
    for (int n = 0; n < N; n++) store(grad_keys + j * width + n * LANES, grad[j][n]);
}

template <Kernel K>
void slope(const float* slopes, const float* queries, const float* keys, int64_t count,
           float* grad_queries, float* grad_keys, int width) {
  constexpr int N = TILE_VECTORS / 2;
  int done = 0;
  for (; width - done >= N * LANES; done += N * LANES)
    slope_tile<K, N>(slopes, queries + done, keys + done, count, grad_queries + done,
                     grad_keys + done, width);
  for (; done < width; done += LANES)
    slope_tile<K, 1>(slopes, queries + done, keys + done, count, grad_queries + done,
                     grad_keys + done, width);
}

// Scores of lanes after `limit` become −∞.
vec hide(vec score, int first, int64_t limit) {
  if (first + LANES - 1 <= limit) return score;
  word allowed = splat_word(uint32_t(std::max<int64_t>(limit + 1 - first, 0)));
  return lane_numbers() < allowed ? score : splat(-INF);
}

// ---- forward

struct Keys {  // of one head: panels of `turned` and `bias`, and the values' rows
  const float *turned, *bias, *values, *centre;
  int64_t value_stride;
};

struct Rows {  // the running softmax of a block of queries
  float reference[BLOCK], *out;
  vec total[BLOCK], weighted[BLOCK], best[BLOCK];
};

// Turns a row of scores into weights and adds them up; moves the reference when they grow too big.
void soften(float* scores, int columns, int64_t limit, float factor, int r, int width,
            bool statistics, Rows& rows) {
  vec s[CODES];
  for (int n = 0; n < columns; n++)
    s[n] = hide(load(scores + n * LANES), n * LANES, limit) * splat(factor * LOG2_E);
  vec bound = splat(rows.reference[r] + SLACK), best = s[0];
  for (int n = 1; n < columns; n++) best = maximum(best, s[n]);
  if (any_above(best, bound)) {
    float old = rows.reference[r];
    rows.reference[r] = std::max(largest(best), old);
    vec shrink = exp2(splat(old - rows.reference[r]));
    rows.total[r] *= shrink;
    rows.weighted[r] *= shrink;
    for (int d = 0; d < width; d += LANES)
      store(rows.out + r * width + d, load(rows.out + r * width + d) * shrink);
  }
  vec reference = splat(rows.reference[r] == -INF ? 0.0f : rows.reference[r]);
  for (int n = 0; n < columns; n++) {
    vec weight = exp2(s[n] - reference);
    rows.total[r] += weight;
    store(scores + n * LANES, weight);
    if (statistics) {
      vec seen = s[n] == splat(-INF) ? splat(0.0f) : s[n];
      rows.weighted[r] = fma(weight, seen, rows.weighted[r]);
    }
  }
  if (statistics) rows.best[r] = maximum(best, rows.best[r]);
}

void drop(const Dropout& dropout, const Call& c, int64_t row, int64_t first, int columns,
          float* weights) {
  uint64_t key = dropout.row_key(row);
  for (int n = 0; n < columns; n++) {
    float* at = weights + n * LANES;
    store(at, load(at) * dropout.factor(key, first + n * LANES));
  }
}

// Adds a tile's share of the output. Near the diagonal each row takes its own keys only, so that a
// NaN in a later value cannot reach it through 0·NaN.
void mix_visible(const float* weights, const Keys& keys, int64_t panel, const int64_t* limits,
                 int64_t rows, float* out, int width) {
  const float* values = keys.values + panel * PANEL * keys.value_stride;
  int64_t common = std::min<int64_t>(std::max<int64_t>(limits[0] + 1, 0), PANEL);
  mix(weights, values, keys.value_stride, common, out, width);
  for (int64_t r = 1; r < rows; r++)
    for (int64_t j = common; j < std::min<int64_t>(limits[r] + 1, PANEL); j++) {
      vec weight = splat(weights[r * PANEL + j]);
      const float* value = values + j * keys.value_stride;
      for (int d = 0; d < width; d += LANES)
        store(out + r * width + d, fma(weight, load(value + d), load(out + r * width + d)));
    }
}

void finish_row(const Call& c, int64_t b, int64_t h, int64_t query, int r, int width, Rows& rows) {
  float total = sum(rows.total[r]), scale = total == 0 ? 0.0f : 1.0f / total;
  float* from = rows.out + r * width;
  for (int d = 0; d < width; d += LANES) store(from + d, load(from + d) * splat(scale));
  std::memcpy(c.out.row(b, h, query), from, size_t(c.value_dim) * 4);
  int64_t number = c.row_number(b, h, query);
  c.softmax[2 * number] = rows.reference[r];
  c.softmax[2 * number + 1] = total;
  if (c.statistics) {
    c.statistics[2 * number] = sum(rows.weighted[r]);
    c.statistics[2 * number + 1] = largest(rows.best[r]);
  }
}

template <Kernel K>
void forward_block(const Call& c, const Keys& keys, int64_t b, int64_t h, int64_t block) {
  const int width = padded(c.dim), value_width = padded(c.value_dim);
  const int64_t first = block * BLOCK, count = std::min<int64_t>(BLOCK, c.time_q - first);
  own_scratch.reserve(BLOCK * (width + value_width) + ROWS * PANEL + 64);
  float *queries = own_scratch.take(BLOCK * width), *scores = own_scratch.take(ROWS * PANEL);
  Rows rows;
  rows.out = own_scratch.take(BLOCK * value_width);
  std::memset(rows.out, 0, sizeof(float) * BLOCK * value_width);
  for (int r = 0; r < BLOCK; r++) {
    rows.reference[r] = -INF;
    rows.total[r] = rows.weighted[r] = splat(0.0f);
    rows.best[r] = splat(-INF);
  }
  pack_rows(c.queries.row(b, h, first), c.queries.time, count, c.dim, keys.centre, queries, BLOCK,
            width);
  float row_bias[BLOCK] = {};
  if (K == L1)
    for (int r = 0; r < count; r++)
      for (int d = 0; d < c.dim; d++) row_bias[r] += queries[r * width + d];
  Dropout dropout(c);

  int64_t last = c.limit(first + count - 1);
  for (int64_t panel = 0; panel * PANEL <= last; panel++)
    for (int64_t tile = 0; tile < count; tile += ROWS) {
      int64_t tall = std::min<int64_t>(ROWS, count - tile), limits[ROWS];
      for (int r = 0; r < tall; r++) limits[r] = c.limit(first + tile + r) - panel * PANEL;
      if (limits[tall - 1] < 0) continue;
      int columns = int(std::min<int64_t>(limits[tall - 1], PANEL - 1)) / LANES + 1;
      score_columns<K>(columns, keys.turned + panel * PANEL * c.dim, queries + tile * width, width,
                       c.dim, keys.bias + panel * PANEL, row_bias + tile, scores);
      for (int r = 0; r < tall; r++) {
        soften(scores + r * PANEL, columns, limits[r], float(c.factor), int(tile) + r, value_width,
               c.statistics != nullptr, rows);
        if (dropout.threshold)
          drop(dropout, c, c.row_number(b, h, first + tile + r), panel * PANEL, columns,
               scores + r * PANEL);
      }
      mix_visible(scores, keys, panel, limits, tall, rows.out + tile * value_width, value_width);
    }
  for (int r = 0; r < count; r++) finish_row(c, b, h, first + r, r, value_width, rows);
}

bool usable_in_place(const View& view, int64_t dim) { return dim % LANES == 0; }

template <Kernel K>
void forward(const Call& c) {
  const int64_t panels = c.panels(), value_width = padded(c.value_dim), group = c.heads / c.kv_heads;
  const int64_t all = c.batch * c.kv_heads;
  const bool in_place = usable_in_place(c.values, c.value_dim);
  const int64_t each = panels * PANEL * (c.dim + 1 + (in_place ? 0 : value_width));
  const int64_t together = c.threads > 1 ? std::min(all, 4 * c.threads) : 1;
  shared_scratch.reserve(together * each);
  float* packs = shared_scratch.take(together * each);
  std::vector<Keys> heads(together);

  for (int64_t start = 0; start < all; start += together) {
    int64_t here = std::min(together, all - start);
    for (int64_t i = 0; i < here; i++) {
      int64_t b = (start + i) / c.kv_heads, kv_head = (start + i) % c.kv_heads;
      float *turned = packs + i * each, *bias = turned + panels * PANEL * c.dim;
      float* values = in_place ? c.values.row(b, kv_head, 0) : bias + panels * PANEL;
      heads[i] = {turned, bias, values, centre_of(c, b, kv_head),
                  in_place ? c.values.time : value_width};
    }
    pool->run(c.threads, here * panels, [&](int64_t unit) {
      int64_t i = unit / panels, first = unit % panels * PANEL;
      int64_t b = (start + i) / c.kv_heads, kv_head = (start + i) % c.kv_heads;
      int64_t count = std::min<int64_t>(PANEL, c.time_k - first);
      float* turned = const_cast<float*>(heads[i].turned) + first * c.dim;
      pack_turned(c.keys.row(b, kv_head, first), c.keys.time, count, c.dim, heads[i].centre,
                  turned);
      key_bias(c, b, first, turned, const_cast<float*>(heads[i].bias) + first);
      if (!in_place)
        pack_rows(c.values.row(b, kv_head, first), c.values.time, count, c.value_dim, nullptr,
                  const_cast<float*>(heads[i].values) + first * value_width, PANEL, value_width);
    });
    // The last blocks see most keys: they go first, so that threads end together.
    pool->run(c.threads, here * group * c.blocks(), [&](int64_t unit) {
      int64_t head = unit / c.blocks(), block = c.blocks() - 1 - unit % c.blocks();
      int64_t i = head / group, b = (start + i) / c.kv_heads;
      int64_t h = (start + i) % c.kv_heads * group + head % group;
      forward_block<K>(c, heads[i], b, h, block);
    });
  }
}

// ---- backward

struct Panel {  // what a panel of keys needs in the backward
  const float *keys, *turned, *turned_values, *bias, *centre;
  float *grad_keys, *grad_values;
};

// Turns scores into weights and products into slopes, for one row of a tile.
template <Kernel K>
void differentiate(float* scores, float* products, int columns, int64_t limit, float factor,
                   const float* softmax, float delta, const Dropout& dropout, uint64_t key,
                   int64_t first) {
  vec reference = splat(softmax[0] == -INF ? 0.0f : softmax[0]);
  vec share = splat(softmax[1] == 0 ? 0.0f : 1.0f / softmax[1]);
  for (int n = 0; n < columns; n++) {
    vec score = hide(load(scores + n * LANES), n * LANES, limit);
    vec weight = exp2(score * splat(factor * LOG2_E) - reference) * share;
    vec product = load(products + n * LANES), kept = weight;
    if (dropout.threshold) {
      vec factor = dropout.factor(key, first + n * LANES);
      product *= factor;
      kept *= factor;
    }
    vec slope = weight * (product - splat(delta)) * splat(factor);
    if (K == L1) slope *= splat(-1.0f / STEP);
    if (K == SQ_L2) slope *= splat(-2.0f);
    if (K == L2) slope = score == splat(0.0f) ? splat(0.0f) : slope / score;
    store(scores + n * LANES, kept);
    store(products + n * LANES, slope);
  }
}

template <Kernel K>
void backward_block(const Call& c, const Panel& keys, int64_t b, int64_t h, int64_t block,
                    int64_t base, const float* deltas, const Dropout& dropout, float* grad) {
  const int width = padded(c.dim), value_width = padded(c.value_dim);
  const int64_t first = block * BLOCK, count = std::min<int64_t>(BLOCK, c.time_q - first);
  float *queries = own_scratch.take(BLOCK * width), *grad_out = own_scratch.take(BLOCK * value_width);
  float *scores = own_scratch.take(BLOCK * PANEL), *products = own_scratch.take(BLOCK * PANEL);
  float row_bias[BLOCK] = {}, *centred = queries;
  const float none[PANEL] = {};
  pack_rows(c.queries.row(b, h, first), c.queries.time, count, c.dim, nullptr, queries, BLOCK,
            width);
  pack_rows(c.grad_out.row(b, h, first), c.grad_out.time, count, c.value_dim, nullptr, grad_out,
            BLOCK, value_width);
  if (K == L1) {
    centred = own_scratch.take(BLOCK * width);
    pack_rows(c.queries.row(b, h, first), c.queries.time, count, c.dim, keys.centre, centred,
              BLOCK, width);
    for (int r = 0; r < count; r++)
      for (int d = 0; d < c.dim; d++) row_bias[r] += centred[r * width + d];
  }
  for (int64_t tile = 0; tile < count; tile += ROWS) {
    int64_t tall = std::min<int64_t>(ROWS, count - tile);
    int64_t limit = c.limit(first + tile + tall - 1) - base;
    if (limit < 0) continue;
    int columns = int(std::min<int64_t>(limit, PANEL - 1)) / LANES + 1;
    score_columns<K>(columns, keys.turned, centred + tile * width, width, c.dim, keys.bias,
                     row_bias + tile, scores + tile * PANEL);
    score_columns<DOT>(columns, keys.turned_values, grad_out + tile * value_width, value_width,
                       c.value_dim, none, none, products + tile * PANEL);
    for (int64_t i = tile; i < tile + tall; i++) {
      int64_t row = c.row_number(b, h, first + i);
      differentiate<K>(scores + i * PANEL, products + i * PANEL, columns,
                       c.limit(first + i) - base, float(c.factor), c.softmax + 2 * row, deltas[row], dropout,
                       dropout.threshold ? dropout.row_key(row) : 0, base);
    }
  }
  std::memset(grad, 0, sizeof(float) * BLOCK * width);
  for (int64_t j = 0; j < PANEL && base + j <= c.limit(first + count - 1); j += 4) {
    // The first tile with a row that sees key j; weights and slopes left of the diagonal are 0.
    int64_t tile = 0;
    while (c.limit(first + std::min(tile + ROWS, count) - 1) < base + j) tile += ROWS;
    gather(scores + tile * PANEL + j, grad_out + tile * value_width, count - tile,
           keys.grad_values + j * value_width, value_width);
    slope<K>(products + tile * PANEL + j, queries + tile * width, keys.keys + j * width,
             count - tile, grad + tile * width, keys.grad_keys + j * width, width);
  }
}

// All queries against one panel of keys. The gradient of a query is added up in the order of the
// panels: `turn` counts how many have added theirs.
template <Kernel K>
void backward_panel(const Call& c, int64_t b, int64_t kv_head, int64_t panel, const float* deltas,
                    std::atomic<int>* turn) {
  const int width = padded(c.dim), value_width = padded(c.value_dim);
  const int64_t base = panel * PANEL, count = std::min<int64_t>(PANEL, c.time_k - base);
  const int64_t group = c.heads / c.kv_heads;
  const Dropout dropout(c);
  own_scratch.reserve(PANEL * (2 * width + c.dim + c.value_dim + value_width + 1) +
                      BLOCK * (3 * width + value_width + 2 * PANEL) + 256);
  float *keys = own_scratch.take(PANEL * width), *turned = own_scratch.take(PANEL * c.dim);
  float *turned_values = own_scratch.take(PANEL * c.value_dim), *bias = own_scratch.take(PANEL);
  float* grad_keys = own_scratch.take(PANEL * width);
  float* grad_values = own_scratch.take(PANEL * value_width);
  float* grad = own_scratch.take(BLOCK * width);
  Panel mine = {keys, turned, turned_values, bias, centre_of(c, b, kv_head), grad_keys,
                grad_values};
  pack_rows(c.keys.row(b, kv_head, base), c.keys.time, count, c.dim, nullptr, keys, PANEL, width);
  pack_turned(c.keys.row(b, kv_head, base), c.keys.time, count, c.dim, mine.centre, turned);
  pack_turned(c.values.row(b, kv_head, base), c.values.time, count, c.value_dim, nullptr,
              turned_values);
  key_bias(c, b, base, turned, bias);
  std::memset(grad_keys, 0, sizeof(float) * PANEL * width);
  std::memset(grad_values, 0, sizeof(float) * PANEL * value_width);
  const size_t mark = own_scratch.mark();

  for (int64_t h = kv_head * group; h < (kv_head + 1) * group; h++)
    for (int64_t block = 0; block < c.blocks(); block++) {
      int64_t first = block * BLOCK, rows = std::min<int64_t>(BLOCK, c.time_q - first);
      if (c.limit(first + rows - 1) < base) continue;
      own_scratch.rewind(mark);
      backward_block<K>(c, mine, b, h, block, base, deltas, dropout, grad);
      std::atomic<int>& done = turn[(b * c.heads + h) * c.blocks() + block];
      for (int tries = 0; done.load(std::memory_order_acquire) != panel; tries++)
        if (tries > 1000) std::this_thread::yield();
      for (int64_t i = 0; i < rows; i++) {
        float* to = c.grad_queries.row(b, h, first + i);
        for (int64_t d = 0; d < c.dim; d++) to[d] += grad[i * width + d];
      }
      done.store(int(panel) + 1, std::memory_order_release);
    }
  for (int64_t j = 0; j < count; j++) {
    std::memcpy(c.grad_keys.row(b, kv_head, base + j), grad_keys + j * width, c.dim * 4);
    std::memcpy(c.grad_values.row(b, kv_head, base + j), grad_values + j * value_width,
                c.value_dim * 4);
  }
}

template <Kernel K>
void backward(const Call& c) {
  const int64_t rows = c.batch * c.heads * c.time_q, all = c.batch * c.kv_heads;
  const int64_t panels = c.panels();
  shared_scratch.reserve(rows);
  float* deltas = shared_scratch.take(rows);
  pool->run(c.threads, c.batch * c.heads, [&](int64_t unit) {
    int64_t b = unit / c.heads, h = unit % c.heads;
    for (int64_t t = 0; t < c.time_q; t++) {
      const float *out = c.out.row(b, h, t), *grad = c.grad_out.row(b, h, t);
      vec total = splat(0.0f);
      for (int64_t d = 0; d < c.value_dim; d += LANES)
        total = fma(load_part(out + d, c.value_dim - d), load_part(grad + d, c.value_dim - d),
                    total);
      deltas[c.row_number(b, h, t)] = sum(total);
      std::memset(c.grad_queries.row(b, h, t), 0, size_t(c.dim) * 4);
    }
  });
  // Threads take different heads first, and the panels of a head in order, so nobody waits for a
  // panel that has not begun.
  std::vector<std::atomic<int>> turn(c.batch * c.heads * c.blocks());
  const int64_t side = std::min(all, std::max<int64_t>(c.threads, 1));
  pool->run(c.threads, all * panels, [&](int64_t unit) {
    int64_t start = unit / (side * panels) * side, here = std::min(side, all - start);
    int64_t inside = unit - start * panels, head = start + inside % here;
    backward_panel<K>(c, head / c.kv_heads, head % c.kv_heads, inside / here, deltas, turn.data());
  });
}

template <class F>
int64_t guarded(F&& work) {
  try {
    work();
    return 0;
  } catch (const std::bad_alloc&) {
    return 1;
  }
}

}  // namespace

// Both return 0, or 1 when memory ran out.
extern "C" int64_t infinito_attention_forward(const Call* call) {
  return guarded([&] {
    switch (call->kernel) {
      case DOT: return forward<DOT>(*call);
      case L1: return forward<L1>(*call);
      case L2: return forward<L2>(*call);
      default: return forward<SQ_L2>(*call);
    }
  });
}

extern "C" int64_t infinito_attention_backward(const Call* call) {
  return guarded([&] {
    switch (call->kernel) {
      case DOT: return backward<DOT>(*call);
      case L1: return backward<L1>(*call);
      case L2: return backward<L2>(*call);
      default: return backward<SQ_L2>(*call);
    }
  });
}
