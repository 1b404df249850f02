// What a call of the kernel is: its tensors, its sizes, its dropout, and the memory it works in.
#pragma once
#include <cstdlib>
#include <memory>
#include <new>

#include "vector.h"

constexpr int ROWS = 6, PANEL = 64, BLOCK = 24;  // of a register tile, of keys, of queries
constexpr int SLICES = PANEL / LANES;            // vectors in a row of a panel

enum Kernel : int64_t { DOT, L1, L2, SQ_L2, LINF, LP };

struct View {  // (batch, heads, time, dim) with any strides but that of dim, which is 1
  float* data;
  int64_t batch, head, time;
  float* row(int64_t b, int64_t h, int64_t t) const {
    return data + b * batch + h * head + t * time;
  }
};

struct Call {  // `fused_cpu.py` mirrors it field by field
  View queries, keys, values, out, grad_out, grad_queries, grad_keys, grad_values;
  float* softmax;          // (batch, heads, time_q, 2): reference (in bits) and sum of weights
  float* statistics;       // (batch, heads, time_q, 2): Σ weight·score, largest score; or null
  const uint8_t* padding;  // (batch, time_k), 1 for a real token; or null
  int64_t batch, heads, kv_heads, time_q, time_k, dim, value_dim, kernel, causal, threads;
  uint64_t seed;
  double dropout_p, factor, p;  // the scores' factor, the exponent of lp

  // Position of the last key that a query sees; below 0 when it sees none.
  int64_t limit(int64_t query) const { return causal ? query + time_k - time_q : time_k - 1; }
  int64_t group() const { return heads / kv_heads; }
  int64_t panels() const { return (time_k + PANEL - 1) / PANEL; }
  int64_t blocks() const { return (time_q + BLOCK - 1) / BLOCK; }
  int64_t row_number(int64_t b, int64_t h, int64_t t) const { return (b * heads + h) * time_q + t; }
};

inline int64_t padded(int64_t dim) { return (dim + LANES - 1) / LANES * LANES; }

// Memory of one thread, kept between calls; `take` hands out aligned pieces of it.
class Scratch {
 public:
  void reserve(size_t floats) {
    used_ = 0;
    if (floats <= size_) return;
    data_.reset(static_cast<float*>(std::aligned_alloc(64, (floats * 4 + 63) / 64 * 64)));
    size_ = data_ ? floats : 0;
    if (!data_) throw std::bad_alloc();
  }
  float* take(size_t floats) {
    float* piece = data_.get() + used_;
    used_ += padded_to_line(floats);
    return piece;
  }
  static size_t padded_to_line(size_t floats) { return (floats + 15) / 16 * 16; }
  size_t mark() const { return used_; }
  void rewind(size_t mark) { used_ = mark; }

 private:
  struct Free {
    void operator()(float* p) const { std::free(p); }
  };
  std::unique_ptr<float, Free> data_;
  size_t size_ = 0, used_ = 0;
};
// `shared_scratch` of the caller is seen by all threads of a call; `own_scratch` is a thread's.
static thread_local Scratch shared_scratch, own_scratch;

// A weight's fate is a hash of the seed and its place: the same in the backward, on any thread.
struct Dropout {
  uint32_t threshold = 0;
  float keep = 1.0f;
  uint64_t seed;

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
  // 0 or 1/(1 − p) for LANES keys from `first` on.
  vec factor(uint64_t key, int64_t first) const {
    word x = (lane_numbers() + uint32_t(first)) * 0x9E3779B1u ^ uint32_t(key);
    x = (x ^ (x >> 16)) * 0x85EBCA6Bu ^ uint32_t(key >> 32);
    x = (x ^ (x >> 13)) * 0xC2B2AE35u;
    x = x ^ (x >> 16);
    return x >= splat_word(threshold) ? splat(keep) : splat(0.0f);
  }
};
