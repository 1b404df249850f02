// Vectors of floats, one width per instruction set, chosen by what the compiler was told to target.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

// A register tile is 6 rows by TILE_VECTORS: 24 accumulators of 32 registers, or 12 of 16. STEP is the size of `sign_step`: a range instruction clamps to it, and dividing the
// other factor by the same power of two is exact.
#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>
using vec = __m512;
using word = __attribute__((vector_size(64))) uint32_t;
constexpr int LANES = 16, TILE_VECTORS = 4;
constexpr float STEP = 0x1p-80f;
static inline vec splat(float x) { return _mm512_set1_ps(x); }
static inline vec load(const float* p) { return _mm512_loadu_ps(p); }
static inline void store(float* p, vec x) { _mm512_storeu_ps(p, x); }
static inline vec fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline vec fnma(vec a, vec b, vec c) { return _mm512_fnmadd_ps(a, b, c); }
static inline vec maximum(vec a, vec b) { return _mm512_max_ps(a, b); }
static inline vec square_root(vec a) { return _mm512_sqrt_ps(a); }
static inline bool any_above(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0; }
static inline vec nearest(vec a) { return _mm512_roundscale_ps(a, 0); }
static inline vec times_power_of_two(vec a, vec n) { return _mm512_scalef_ps(a, n); }
// The smaller of |t| and STEP with the sign of t: exactly 0 where t is 0.
static inline vec sign_step(vec t) { return _mm512_range_ps(t, _mm512_set1_ps(STEP), 2); }
#elif defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>
using vec = __m256;
using word = __attribute__((vector_size(32))) uint32_t;
constexpr int LANES = 8, TILE_VECTORS = 2;
static inline vec splat(float x) { return _mm256_set1_ps(x); }
static inline vec load(const float* p) { return _mm256_loadu_ps(p); }
static inline void store(float* p, vec x) { _mm256_storeu_ps(p, x); }
static inline vec fma(vec a, vec b, vec c) { return _mm256_fmadd_ps(a, b, c); }
static inline vec fnma(vec a, vec b, vec c) { return _mm256_fnmadd_ps(a, b, c); }
static inline vec maximum(vec a, vec b) { return _mm256_max_ps(a, b); }
static inline vec square_root(vec a) { return _mm256_sqrt_ps(a); }
static inline bool any_above(vec a, vec b) {
  return _mm256_movemask_ps(_mm256_cmp_ps(a, b, _CMP_GT_OQ)) != 0;
}
static inline vec nearest(vec a) { return _mm256_round_ps(a, 8); }
#elif defined(__ARM_NEON) && defined(__aarch64__)
#include <arm_neon.h>
using vec = float32x4_t;
using word = uint32x4_t;
constexpr int LANES = 4, TILE_VECTORS = 4;
static inline vec splat(float x) { return vdupq_n_f32(x); }
static inline vec load(const float* p) { return vld1q_f32(p); }
static inline void store(float* p, vec x) { vst1q_f32(p, x); }
static inline vec fma(vec a, vec b, vec c) { return vfmaq_f32(c, a, b); }
static inline vec fnma(vec a, vec b, vec c) { return vfmsq_f32(c, a, b); }
static inline vec maximum(vec a, vec b) { return vmaxq_f32(a, b); }
static inline vec square_root(vec a) { return vsqrtq_f32(a); }
static inline bool any_above(vec a, vec b) { return vmaxvq_u32(vcgtq_f32(a, b)) != 0; }
static inline vec nearest(vec a) { return vrndnq_f32(a); }
#else
#error "fused_cpu needs AVX-512 (F and DQ), AVX2 with FMA, or NEON"
#endif

#if !(defined(__AVX512F__) && defined(__AVX512DQ__))
constexpr float STEP = 1.0f;
static inline vec times_power_of_two(vec a, vec n) {
  word bits = __builtin_convertvector(n + splat(127.0f), word) << 23;
  vec power;
  std::memcpy(&power, &bits, sizeof bits);
  return a * power;
}
static inline vec sign_step(vec t) {
  vec zero = splat(0.0f), one = splat(1.0f);
  return (t > zero ? one : zero) - (t < zero ? one : zero);
}
#endif

constexpr float INF = std::numeric_limits<float>::infinity();

static inline word splat_word(uint32_t x) { return word{} + x; }

static inline word lane_numbers() {
  word lanes;
  for (int i = 0; i < LANES; i++) lanes[i] = i;
  return lanes;
}

static inline float largest(vec a) {
  float best = a[0];
  for (int i = 1; i < LANES; i++) best = a[i] > best ? a[i] : best;
  return best;
}

static inline float sum(vec a) {
  float total = 0;
  for (int i = 0; i < LANES; i++) total += a[i];
  return total;
}

// 2^x to 1e-7 of itself for x < 127; exactly 0 below -126, so a masked score weighs nothing; NaN
// stays NaN. Compilers' own exp is scalar, or inexact under -ffast-math, which also drops NaN.
static inline vec exp2(vec x) {
  vec low = splat(-126.0f);
  vec whole = nearest(x < low ? low : x), part = x - whole;
  vec p = splat(1.53458124e-4f);
  p = fma(p, part, splat(1.33999309e-3f));
  p = fma(p, part, splat(9.61848907e-3f));
  p = fma(p, part, splat(5.55032864e-2f));
  p = fma(p, part, splat(2.40226462e-1f));
  p = fma(p, part, splat(6.93147182e-1f));
  p = fma(p, part, splat(1.0f));
  return x < low ? splat(0.0f) : times_power_of_two(p, whole);
}

// Turns a square of LANES x LANES floats on its diagonal.
static inline void transpose(vec* rows) {
#if defined(__clang__)
  vec turned[LANES];
  for (int i = 0; i < LANES; i++)
    for (int j = 0; j < LANES; j++) turned[i][j] = rows[j][i];
  for (int i = 0; i < LANES; i++) rows[i] = turned[i];
#else
  using index = __attribute__((vector_size(sizeof(vec)))) int32_t;
#pragma GCC unroll 8
  for (int step = 1; step < LANES; step *= 2) {
    index low, high;
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) {
      low[i] = i & step ? LANES + i - step : i;
      high[i] = i & step ? LANES + i : i + step;
    }
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) {
      if (i & step) continue;
      vec a = rows[i], b = rows[i + step];
      rows[i] = __builtin_shuffle(a, b, low);
      rows[i + step] = __builtin_shuffle(a, b, high);
    }
  }
#endif
}
