// The backward: each panel of keys meets all its queries, whose weights are computed anew.
#pragma once
#include <thread>
#include <vector>

#include "pack.h"
#include "pool.h"
#include "softmax.h"
#include "tiles.h"

struct RowSums {  // of a query, computed once
  float delta, bias;  // Σ output·gradient; Σ of the centred query (l1)
};

struct Panel {  // what all queries need of a panel of keys
  Rows keys, grad_keys, grad_values;
  const float *turned, *turned_values, *bias, *centre;
  int64_t base;
};

// Turns a row's scores into weights, and its products of gradient and value into slopes; keeps the
// distances where the gradient needs them.
template <Kernel K>
void differentiate(const Call& c, const Panel& panel, const float* query, float* scores,
                   float* products, float* distances, int slices, int64_t number, float delta,
                   const Dropout& dropout) {
  const float *softmax = c.softmax + 2 * number, factor = float(c.factor);
  const vec reference = splat(softmax[0] == -INF ? 0.0f : softmax[0]);
  const vec share = splat(softmax[1] == 0 ? 0.0f : 1.0f / softmax[1]);
  const uint64_t key = dropout.threshold ? dropout.row_key(number) : 0;
  const float scale = factor * (K == L1 ? -1.0f / STEP : K == SQ_L2 ? -2.0f : 1.0f);
  for (int n = 0; n < slices; n++) {
    vec score = load(scores + n * LANES), product = load(products + n * LANES);
    vec bits = score * splat(factor * LOG2_E);
    hold(bits);  // rounded as in the forward: fused with the difference, far keys would differ
    vec weight = exp2(bits - reference) * share, kept = weight;
    if (dropout.threshold) {
      vec fate = dropout.factor(key, panel.base + n * LANES);
      product *= fate;
      kept *= fate;
    }
    vec slope = weight * (product - splat(delta)) * splat(scale);
    vec divisor = score;
    if (K == LINF) divisor *= count_ties(panel.turned + n * LANES, query, c.dim, -score);
    if (K == LINF || K == LP) store(distances + n * LANES, -score);
    if (K == L2 || K == LINF || K == LP)
      slope = score == splat(0.0f) ? splat(0.0f) : slope / divisor;
    store(scores + n * LANES, kept);
    store(products + n * LANES, slope);
  }
}

// Rows of a block where they are, or packed when they are not whole tiles of whole vectors.
inline Rows block_rows(const View& view, int64_t b, int64_t h, int64_t first, int64_t count,
                       int64_t dim, float* space) {
  float* from = view.row(b, h, first);
  if (count == BLOCK && whole_vectors(dim)) return {from, view.time};
  return pack_rows(from, view.time, count, dim, nullptr, BLOCK, space);
}

// Weights and slopes of a block's queries with a panel's keys.
template <Kernel K>
void weigh_block(const Call& c, const Panel& panel, int64_t b, int64_t h, int64_t first,
                 int64_t count, Rows queries, Rows grad_out, const RowSums* sums, float* weights,
                 float* slopes, float* distances) {
  const Dropout dropout(c);
  const float nothing[PANEL] = {};
  float bias[BLOCK] = {};
  for (int64_t r = 0; r < count; r++) bias[r] = sums[c.row_number(b, h, first + r)].bias;
  for (int64_t tile = 0; tile < count; tile += ROWS) {
    int64_t rows = std::min<int64_t>(ROWS, count - tile);
    int64_t limit = c.limit(first + tile + rows - 1) - panel.base;
    if (limit < 0) continue;
    int slices = int(std::min<int64_t>(limit, PANEL - 1)) / LANES + 1;
    score_slices<K>(slices, panel.turned, queries.at(tile), queries.stride, c.dim, panel.bias,
                    bias + tile, float(c.p), weights + tile * PANEL);
    score_slices<DOT>(slices, panel.turned_values, grad_out.at(tile), grad_out.stride,
                      c.value_dim, nothing, nothing, 0.0f, slopes + tile * PANEL);
    for (int64_t i = tile; i < tile + rows; i++) {
      int64_t number = c.row_number(b, h, first + i);
      hide(weights + i * PANEL, c.limit(first + i) - panel.base);
      differentiate<K>(c, panel, queries.at(i), weights + i * PANEL, slopes + i * PANEL,
                       distances + i * PANEL, slices, number, sums[number].delta, dropout);
    }
  }
}

// Waits until the panels before this one have added their share of a block's gradient; one that ran
// out of memory never does.
inline void await_turn(const std::atomic<int64_t>& turn, int64_t mine) {
  for (int tries = 0; turn.load(std::memory_order_acquire) != mine; tries++) {
    if (pool->failed()) throw std::bad_alloc();
    if (tries > 1000) std::this_thread::yield();
  }
}

template <Kernel K>
void backward_block(const Call& c, const Panel& panel, int64_t b, int64_t h, int64_t block,
                    const RowSums* sums, std::atomic<int64_t>& turn) {
  const int64_t width = padded(c.dim), value_width = padded(c.value_dim);
  const int64_t first = block * BLOCK, count = std::min<int64_t>(BLOCK, c.time_q - first);
  float *weights = own_scratch.take(BLOCK * PANEL), *slopes = own_scratch.take(BLOCK * PANEL);
  float* distances = own_scratch.take(BLOCK * PANEL);
  Rows queries = block_rows(c.queries, b, h, first, count, c.dim, own_scratch.take(BLOCK * width));
  Rows grad_out = block_rows(c.grad_out, b, h, first, count, c.value_dim,
                             own_scratch.take(BLOCK * value_width));
  Rows centred = queries;
  if (K == L1)
    centred = pack_rows(c.queries.row(b, h, first), c.queries.time, count, c.dim, panel.centre,
                        BLOCK, own_scratch.take(BLOCK * width));
  weigh_block<K>(c, panel, b, h, first, count, centred, grad_out, sums, weights, slopes,
                 distances);

  await_turn(turn, panel.base / PANEL);
  Rows grad = {c.grad_queries.row(b, h, first), c.grad_queries.time};
  if (!whole_vectors(c.dim))
    grad = pack_rows(grad.data, grad.stride, count, c.dim, nullptr, BLOCK,
                     own_scratch.take(BLOCK * width));
  Slopes all = {queries.data,   panel.keys.data,   grad.data,   panel.grad_keys.data,
                queries.stride, panel.keys.stride, grad.stride, panel.grad_keys.stride,
                distances,      float(c.p)};
  const int64_t keys = std::min<int64_t>(PANEL, c.limit(first + count - 1) + 1 - panel.base);
  for (int64_t j = 0; j < keys; j += 4) {
    // The first tile of which a row sees key j; left of the diagonal, weights and slopes are 0.
    int64_t tile = 0;
    while (c.limit(first + std::min(tile + ROWS, count) - 1) < panel.base + j) tile += ROWS;
    gather(weights + tile * PANEL + j, grad_out.at(tile), grad_out.stride, count - tile,
           panel.grad_values.at(j), panel.grad_values.stride, value_width);
    apply_slopes<K>(slopes, all, tile, j, count, width);
  }
  if (!whole_vectors(c.dim))
    for (int64_t r = 0; r < count; r++)
      std::memcpy(c.grad_queries.row(b, h, first + r), grad.at(r), size_t(c.dim) * 4);
  turn.store(panel.base / PANEL + 1, std::memory_order_release);
}

// All queries against one panel of keys.
template <Kernel K>
void backward_panel(const Call& c, int64_t b, int64_t kv_head, int64_t base, const RowSums* sums,
                    std::atomic<int64_t>* turns) {
  const int64_t width = padded(c.dim), value_width = padded(c.value_dim);
  const int64_t count = std::min<int64_t>(PANEL, c.time_k - base), group = c.group();
  own_scratch.reserve(PANEL * (2 * width + c.dim + c.value_dim + value_width + 1) + width +
                      BLOCK * (3 * width + value_width + 3 * PANEL) + 256);
  float *turned = own_scratch.take(PANEL * c.dim), *bias = own_scratch.take(PANEL);
  float* turned_values = own_scratch.take(PANEL * c.value_dim);
  const float* keys = c.keys.row(b, kv_head, base);
  const float* centre = centre_of(c, b, kv_head, own_scratch.take(width));
  pack_turned(keys, c.keys.time, count, c.dim, centre, turned);
  pack_turned(c.values.row(b, kv_head, base), c.values.time, count, c.value_dim, nullptr,
              turned_values);
  key_bias(c, b, base, turned, bias);
  Rows packed = pack_rows(keys, c.keys.time, count, c.dim, nullptr, PANEL,
                          own_scratch.take(PANEL * width));
  Rows grad_keys = {own_scratch.take(PANEL * width), width};
  Rows grad_values = {own_scratch.take(PANEL * value_width), value_width};
  std::memset(grad_keys.data, 0, sizeof(float) * PANEL * width);
  std::memset(grad_values.data, 0, sizeof(float) * PANEL * value_width);
  const Panel panel = {packed, grad_keys, grad_values, turned, turned_values, bias, centre, base};

  const size_t mark = own_scratch.mark();
  for (int64_t h = kv_head * group; h < (kv_head + 1) * group; h++)
    for (int64_t block = 0; block < c.blocks(); block++) {
      int64_t last = std::min<int64_t>((block + 1) * BLOCK, c.time_q) - 1;
      if (c.limit(last) < base) continue;
      own_scratch.rewind(mark);
      backward_block<K>(c, panel, b, h, block, sums,
                        turns[(b * c.heads + h) * c.blocks() + block]);
    }
  for (int64_t j = 0; j < count; j++) {
    std::memcpy(c.grad_keys.row(b, kv_head, base + j), grad_keys.at(j), size_t(c.dim) * 4);
    std::memcpy(c.grad_values.row(b, kv_head, base + j), grad_values.at(j),
                size_t(c.value_dim) * 4);
  }
}

// What is constant in each row of one head; its gradient starts at 0.
inline void prepare_head(const Call& c, int64_t b, int64_t h, RowSums* sums) {
  own_scratch.reserve(padded(c.dim));
  const float* centre = centre_of(c, b, h / c.group(), own_scratch.take(padded(c.dim)));
  for (int64_t t = 0; t < c.time_q; t++) {
    const float *out = c.out.row(b, h, t), *grad = c.grad_out.row(b, h, t);
    vec total = splat(0.0f);
    for (int64_t d = 0; d < c.value_dim; d += LANES)
      total = fma(load_part(out + d, c.value_dim - d), load_part(grad + d, c.value_dim - d), total);
    float bias = centre ? row_total(c.queries.row(b, h, t), c.dim, centre) : 0.0f;
    sums[c.row_number(b, h, t)] = {sum(total), bias};
    std::memset(c.grad_queries.row(b, h, t), 0, size_t(c.dim) * 4);
  }
}

// The gradient of a query is added up in the order of the panels, whichever thread has which:
// `turns` counts, for each block of queries, the panels that have added theirs.
template <Kernel K>
void backward(const Call& c) {
  const int64_t rows = c.batch * c.heads * c.time_q, all = c.batch * c.kv_heads;
  shared_scratch.reserve(2 * rows);
  RowSums* sums = reinterpret_cast<RowSums*>(shared_scratch.take(2 * rows));
  pool->run(c.threads, c.batch * c.heads,
            [&](int64_t unit) { prepare_head(c, unit / c.heads, unit % c.heads, sums); });
  std::vector<std::atomic<int64_t>> turns(c.batch * c.heads * c.blocks());
  // As many heads side by side as threads, and the panels of a head in order: hardly anybody waits,
  // and nobody for a panel that has not begun.
  const int64_t side = std::min(all, std::max<int64_t>(c.threads, 1)), panels = c.panels();
  pool->run(c.threads, all * panels, [&](int64_t unit) {
    int64_t start = unit / (side * panels) * side, here = std::min(side, all - start);
    int64_t head = start + (unit - start * panels) % here;
    int64_t base = (unit - start * panels) / here * PANEL;
    backward_panel<K>(c, head / c.kv_heads, head % c.kv_heads, base, sums, turns.data());
  });
}
