// The forward: blocks of queries walk along the panels of their keys.
#pragma once
#include <vector>

#include "pack.h"
#include "pool.h"
#include "softmax.h"
#include "tiles.h"

struct PackedKeys {  // of one head
  float *turned, *bias;
  const float* centre;
  Rows values;
};

// Adds a tile's share of the output. Near the diagonal each row takes its own keys only, so that a
// NaN in a later value cannot reach it through 0·NaN.
inline void mix_visible(const float* weights, Rows values, const int64_t* limits, int64_t rows,
                        float* out, int64_t width) {
  int64_t common = std::clamp<int64_t>(limits[0] + 1, 0, PANEL);
  mix(weights, values.data, values.stride, common, out, width);
  for (int64_t r = 1; r < rows; r++)
    for (int64_t j = common; j <= std::min<int64_t>(limits[r], PANEL - 1); j++) {
      vec weight = splat(weights[r * PANEL + j]);
      for (int64_t d = 0; d < width; d += LANES)
        store(out + r * width + d,
              fma(weight, load(values.at(j) + d), load(out + r * width + d)));
    }
}

template <Kernel K>
void forward_block(const Call& c, const PackedKeys& keys, int64_t b, int64_t h, int64_t block) {
  const int64_t width = padded(c.dim), value_width = padded(c.value_dim);
  const int64_t first = block * BLOCK, count = std::min<int64_t>(BLOCK, c.time_q - first);
  own_scratch.reserve(BLOCK * (width + value_width) + ROWS * PANEL + 64);
  float* scores = own_scratch.take(ROWS * PANEL);
  Rows queries = pack_rows(c.queries.row(b, h, first), c.queries.time, count, c.dim, keys.centre,
                           BLOCK, own_scratch.take(BLOCK * width));
  Softmax softmax(c, own_scratch.take(BLOCK * value_width), BLOCK);
  const Dropout dropout(c);
  float row_bias[BLOCK] = {};
  if (K == L1)
    for (int64_t r = 0; r < count; r++)
      row_bias[r] = row_total(c.queries.row(b, h, first + r), c.dim, keys.centre);

  for (int64_t base = 0; base <= c.limit(first + count - 1); base += PANEL)
    for (int64_t tile = 0; tile < count; tile += ROWS) {
      int64_t rows = std::min<int64_t>(ROWS, count - tile), limits[ROWS];
      for (int64_t r = 0; r < rows; r++) limits[r] = c.limit(first + tile + r) - base;
      if (limits[rows - 1] < 0) continue;
      int slices = int(std::min<int64_t>(limits[rows - 1], PANEL - 1)) / LANES + 1;
      score_slices<K>(slices, keys.turned + base * c.dim, queries.at(tile), width, c.dim,
                      keys.bias + base, row_bias + tile, float(c.p), scores);
      for (int64_t r = 0; r < rows; r++) {
        hide(scores + r * PANEL, limits[r]);
        softmax.soften(scores + r * PANEL, tile + r);
        drop(dropout, c.row_number(b, h, first + tile + r), base, scores + r * PANEL);
      }
      mix_visible(scores, {keys.values.at(base), keys.values.stride}, limits, rows,
                  softmax.out + tile * value_width, value_width);
    }
  for (int64_t r = 0; r < count; r++) softmax.finish(c, r, b, h, first + r);
}

// Packs the keys of `count` heads from `start` on, then lets their queries attend to them.
template <Kernel K>
void forward_heads(const Call& c, int64_t start, std::vector<PackedKeys>& heads, int64_t count) {
  const int64_t panels = c.panels(), blocks = c.blocks();
  pool->run(c.threads, count * panels, [&](int64_t unit) {
    const PackedKeys& keys = heads[unit / panels];
    int64_t head = start + unit / panels, base = unit % panels * PANEL;
    int64_t b = head / c.kv_heads, kv_head = head % c.kv_heads;
    int64_t seen = std::min<int64_t>(PANEL, c.time_k - base);
    float* turned = keys.turned + base * c.dim;
    pack_turned(c.keys.row(b, kv_head, base), c.keys.time, seen, c.dim, keys.centre, turned);
    key_bias(c, b, base, turned, keys.bias + base);
    if (!whole_vectors(c.value_dim))
      pack_rows(c.values.row(b, kv_head, base), c.values.time, seen, c.value_dim, nullptr, PANEL,
                keys.values.at(base));
  });
  // The last blocks see most keys: they go first, so that threads end together.
  pool->run(c.threads, count * c.group() * blocks, [&](int64_t unit) {
    int64_t mine = unit / blocks / c.group(), head = start + mine;
    int64_t h = head % c.kv_heads * c.group() + unit / blocks % c.group();
    forward_block<K>(c, heads[mine], head / c.kv_heads, h, blocks - 1 - unit % blocks);
  });
}

template <Kernel K>
void forward(const Call& c) {
  const int64_t all = c.batch * c.kv_heads, keys = c.panels() * PANEL;
  const bool in_place = whole_vectors(c.value_dim);
  const int64_t each = keys * (c.dim + 1 + (in_place ? 0 : padded(c.value_dim))) + c.dim;
  // Alone, a thread packs one head at a time and finds it in its cache.
  const int64_t together = c.threads > 1 ? std::min(all, 4 * c.threads) : 1;
  shared_scratch.reserve(together * each);
  float* packs = shared_scratch.take(together * each);
  std::vector<PackedKeys> heads(together);
  for (int64_t start = 0; start < all; start += together) {
    int64_t count = std::min(together, all - start);
    for (int64_t i = 0; i < count; i++) {
      int64_t b = (start + i) / c.kv_heads, kv_head = (start + i) % c.kv_heads;
      float *turned = packs + i * each, *bias = turned + keys * c.dim;
      const float* centre = centre_of(c, b, kv_head, turned + each - c.dim);
      heads[i] = {turned, bias, centre, {bias + keys, padded(c.value_dim)}};
      if (in_place) heads[i].values = {c.values.row(b, kv_head, 0), c.values.time};
    }
    forward_heads<K>(c, start, heads, count);
  }
}
