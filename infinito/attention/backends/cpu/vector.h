// Vectors of floats, one width per instruction set, chosen by what the compiler was told to target.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>

// A register tile is 6 rows by TILE_VECTORS: 24 accumulators of 32 registers, or 12 of 16.
constexpr float STEP = 0x1p-80f;  // what `sign_step` clamps to, so small that only a sign is left
#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>
using vec = __m512;
using word = __attribute__((vector_size(64))) uint32_t;
constexpr int LANES = 16, TILE_VECTORS = 4;
static inline vec splat(float x) { return _mm512_set1_ps(x); }
static inline vec load(const float* p) { return _mm512_loadu_ps(p); }
static inline void store(float* p, vec x) { _mm512_storeu_ps(p, x); }
static inline vec fma(vec a, vec b, vec c) { return _mm512_fmadd_ps(a, b, c); }
static inline vec fnma(vec a, vec b, vec c) { return _mm512_fnmadd_ps(a, b, c); }
static inline vec maximum(vec a, vec b) { return _mm512_max_ps(a, b); }
// The larger of a and b; NaN where a is NaN.
static inline vec at_least(vec a, vec b) { return _mm512_max_ps(b, a); }
static inline vec square_root(vec a) { return _mm512_sqrt_ps(a); }
static inline vec absolute(vec a) { return _mm512_abs_ps(a); }
static inline bool any_above(vec a, vec b) { return _mm512_cmp_ps_mask(a, b, _CMP_GT_OQ) != 0; }
static inline vec nearest(vec a) { return _mm512_roundscale_ps(a, 0); }
// a·2^whole, but 0 where x < low.
static inline vec scale_above(vec a, vec whole, vec x, vec low) {
  return _mm512_maskz_scalef_ps(_mm512_cmp_ps_mask(x, low, _CMP_NLT_UQ), a, whole);
}
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
static inline vec at_least(vec a, vec b) { return _mm256_max_ps(b, a); }
static inline vec minimum(vec a, vec b) { return _mm256_min_ps(a, b); }
static inline vec square_root(vec a) { return _mm256_sqrt_ps(a); }
static inline vec absolute(vec a) { return _mm256_andnot_ps(_mm256_set1_ps(-0.0f), a); }
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
static inline vec at_least(vec a, vec b) { return vmaxq_f32(a, b); }
static inline vec minimum(vec a, vec b) { return vminq_f32(a, b); }
static inline vec square_root(vec a) { return vsqrtq_f32(a); }
static inline vec absolute(vec a) { return vabsq_f32(a); }
static inline bool any_above(vec a, vec b) { return vmaxvq_u32(vcgtq_f32(a, b)) != 0; }
static inline vec nearest(vec a) { return vrndnq_f32(a); }
#else
#error "fused_cpu needs AVX-512 (F and DQ), AVX2 with FMA, or NEON"
#endif

#if !(defined(__AVX512F__) && defined(__AVX512DQ__))
static inline vec scale_above(vec a, vec whole, vec x, vec low) {
  word bits = __builtin_convertvector(whole + splat(127.0f), word) << 23;
  vec power;
  std::memcpy(&power, &bits, sizeof bits);
  return x < low ? splat(0.0f) : a * power;
}
static inline vec sign_step(vec t) {
  return at_least(minimum(t, splat(STEP)), splat(-STEP));
}
#endif

using lane_list = __attribute__((vector_size(sizeof(vec)))) int32_t;
constexpr float INF = std::numeric_limits<float>::infinity();

static inline word splat_word(uint32_t x) { return word{} + x; }

// The larger of two that are not negative; NaN where one is, for as integers NaN is the largest.
static inline vec larger(vec a, vec b) {
  word x = reinterpret_cast<word>(a), y = reinterpret_cast<word>(b);
  return reinterpret_cast<vec>(x > y ? x : y);
}

static inline word lane_numbers() {
  word lanes;
  for (int i = 0; i < LANES; i++) lanes[i] = i;
  return lanes;
}

// Makes the compiler hold x in a register rather than read it again at each use.
static inline void hold(vec& x) {
#if defined(__x86_64__)
  asm("" : "+v"(x));
#else
  asm("" : "+w"(x));
#endif
}

static inline float largest(vec a) {
#if defined(__AVX512F__) && defined(__AVX512DQ__)
  return _mm512_reduce_max_ps(a);
#else
  float best = a[0];
  for (int i = 1; i < LANES; i++) best = a[i] > best ? a[i] : best;
  return best;
#endif
}

static inline float sum(vec a) {
#if defined(__AVX512F__) && defined(__AVX512DQ__)
  return _mm512_reduce_add_ps(a);
#else
  float total = 0;
  for (int i = 0; i < LANES; i++) total += a[i];
  return total;
#endif
}

// The first `count` floats, zeros after them.
static inline vec load_part(const float* p, int64_t count) {
  if (count >= LANES) return load(p);
#if defined(__AVX512F__) && defined(__AVX512DQ__)
  return _mm512_maskz_loadu_ps(__mmask16((1u << std::max<int64_t>(count, 0)) - 1), p);
#else
  float whole[LANES] = {};
  std::memcpy(whole, p, size_t(std::max<int64_t>(count, 0)) * 4);
  return load(whole);
#endif
}

// 2^x to 1e-7 of itself for x < 127; exactly 0 below -126, so a masked score weighs nothing; NaN
// stays NaN. Compilers' own exp is scalar, or inexact under -ffast-math, which also drops NaN.
static inline vec exp2(vec x) {
  vec low = splat(-126.0f);
  vec whole = nearest(at_least(x, low)), part = x - whole;
  vec p = splat(1.32764725e-3f);
  p = fma(p, part, splat(9.67554096e-3f));
  p = fma(p, part, splat(5.55071309e-2f));
  p = fma(p, part, splat(2.40221202e-1f));
  p = fma(p, part, splat(6.93146944e-1f));
  p = fma(p, part, splat(1.00000012f));
  return scale_above(p, whole, x, low);
}

// log2 of positive numbers to 1e-7 (the polynomial is that of Cephes' logf).
static inline vec log2(vec x) {
  constexpr uint32_t low = 0x3f3504f3u;  // √½, from where the mantissa reaches to √2
  word bits = reinterpret_cast<word>(x) - low;
  lane_list whole = reinterpret_cast<lane_list>(bits) >> 23;
  vec t = reinterpret_cast<vec>((bits & 0x007fffffu) + low) - splat(1.0f), square = t * t;
  vec p = splat(7.0376836292e-2f);
  for (float next : {-1.1514610310e-1f, 1.1676998740e-1f, -1.2420140846e-1f, 1.4249322787e-1f,
                     -1.6668057665e-1f, 2.0000714765e-1f, -2.4999993993e-1f, 3.3333331174e-1f})
    p = fma(p, t, splat(next));
  vec natural = fma(p, t * square, fnma(splat(0.5f), square, t));
  return fma(natural, splat(1.44269504f), __builtin_convertvector(whole, vec));
}

// x^p of positive numbers, at most 2^127; 0, infinity and NaN stay what they are.
static inline vec power(vec x, float p) {
  vec bits = log2(x) * splat(p), result = exp2(bits > splat(127.0f) ? splat(127.0f) : bits);
  return reinterpret_cast<word>(x) - 1 < splat_word(0x7f7fffffu) ? result : x;
}

// Where lane i of a pair's merge comes from, at the butterfly stage of `step`: the pair's own lanes
// that have their bit `step` clear (low) or set (high).
struct Merge {
  lane_list low, high;
  explicit Merge(int step) {
    for (int i = 0; i < LANES; i++) {
      low[i] = i & step ? LANES + i - step : i;
      high[i] = i & step ? LANES + i : i + step;
    }
  }
};

static inline vec choose(vec a, vec b, lane_list from) {
#if defined(__clang__)
  vec out;
  for (int i = 0; i < LANES; i++) out[i] = from[i] < LANES ? a[from[i]] : b[from[i] - LANES];
  return out;
#else
  return __builtin_shuffle(a, b, from);
#endif
}

// Turns a square of LANES x LANES floats on its diagonal.
static inline void transpose(vec* rows) {
#pragma GCC unroll 8
  for (int step = 1; step < LANES; step *= 2) {
    const Merge merge(step);
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i++) {
      if (i & step) continue;
      vec a = rows[i], b = rows[i + step];
      rows[i] = choose(a, b, merge.low);
      rows[i + step] = choose(a, b, merge.high);
    }
  }
}

// Lane i of the result is what `join` makes of the lanes of rows[i]; rows are used up.
template <class Join>
static inline vec across(vec* rows, Join join) {
#pragma GCC unroll 8
  for (int step = 1; step < LANES; step *= 2) {
    const Merge merge(step);
#pragma GCC unroll 16
    for (int i = 0; i < LANES; i += 2 * step) {
      vec a = rows[i], b = rows[i + step];
      rows[i] = join(choose(a, b, merge.low), choose(a, b, merge.high));
    }
  }
  return rows[0];
}
