// 16 lanes in two registers. Intrinsics only; everything has internal linkage.
#pragma once

#include <immintrin.h>
#include <math.h>

#define SLUICE_INLINE static inline __attribute__((always_inline))

namespace {

struct Vec {
  __m256 a, b;
};

SLUICE_INLINE Vec load(const float* p) { return {_mm256_load_ps(p), _mm256_load_ps(p + 8)}; }
SLUICE_INLINE void store(float* p, Vec x) { _mm256_store_ps(p, x.a), _mm256_store_ps(p + 8, x.b); }
SLUICE_INLINE Vec splat(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
// Loaded anew for every use: GCC would keep a pixel for the taps that share it, and spill sums for that.
SLUICE_INLINE Vec splat_pixel(const float* p) {
  __m256 x;
  asm volatile("vbroadcastss %1, %0" : "=x"(x) : "m"(*p));
  return {x, x};
}
SLUICE_INLINE Vec fma(Vec x, Vec y, Vec z) {
  return {_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)};
}
SLUICE_INLINE Vec fnma(Vec x, Vec y, Vec z) {
  return {_mm256_fnmadd_ps(x.a, y.a, z.a), _mm256_fnmadd_ps(x.b, y.b, z.b)};
}
SLUICE_INLINE Vec add(Vec x, Vec y) { return {_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)}; }
SLUICE_INLINE Vec sub(Vec x, Vec y) { return {_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)}; }
SLUICE_INLINE Vec mul(Vec x, Vec y) { return {_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)}; }
SLUICE_INLINE Vec div(Vec x, Vec y) { return {_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)}; }
// The second operand wins where either is NaN, which is how a NaN gets through a clamp.
SLUICE_INLINE Vec max(Vec x, Vec y) { return {_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)}; }
// NaN where either is.
SLUICE_INLINE Vec larger(Vec x, Vec y) {
  const Vec z = max(x, y);
  return {_mm256_blendv_ps(z.a, x.a, _mm256_cmp_ps(x.a, x.a, _CMP_UNORD_Q)),
          _mm256_blendv_ps(z.b, x.b, _mm256_cmp_ps(x.b, x.b, _CMP_UNORD_Q))};
}
SLUICE_INLINE Vec min(Vec x, Vec y) { return {_mm256_min_ps(x.a, y.a), _mm256_min_ps(x.b, y.b)}; }
SLUICE_INLINE Vec round(Vec x) {
  constexpr int nearest = _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC;
  return {_mm256_round_ps(x.a, nearest), _mm256_round_ps(x.b, nearest)};
}
SLUICE_INLINE __m256 power_of_two(__m256 n) {  // n whole, in [-126, 127]
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23));
}
SLUICE_INLINE Vec scale_by_power_of_two(Vec x, Vec n) {
  return {_mm256_mul_ps(x.a, power_of_two(n.a)), _mm256_mul_ps(x.b, power_of_two(n.b))};
}
// Into L2, and into L1.
SLUICE_INLINE void prefetch(const float* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }
SLUICE_INLINE void prefetch_near(const float* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0); }

SLUICE_INLINE float sum(Vec x) {
  const __m256 half = _mm256_add_ps(x.a, x.b);
  __m128 quarter = _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
  quarter = _mm_add_ps(quarter, _mm_movehl_ps(quarter, quarter));
  return _mm_cvtss_f32(_mm_add_ss(quarter, _mm_movehdup_ps(quarter)));
}

// The same 4 floats of rows i and i + 4.
SLUICE_INLINE __m256 quarters(const float* const* rows, int i, int at) {
  return _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(rows[i] + at)), _mm_loadu_ps(rows[i + 4] + at), 1);
}

// out[c * step + lane] = rows[lane][c] for 4 channels of 8 rows.
SLUICE_INLINE void transpose4(const float* const* rows, int at, float* out, size_t step) {
  const __m256 r0 = quarters(rows, 0, at), r1 = quarters(rows, 1, at), r2 = quarters(rows, 2, at),
               r3 = quarters(rows, 3, at);
  const __m256 low01 = _mm256_unpacklo_ps(r0, r1), high01 = _mm256_unpackhi_ps(r0, r1);
  const __m256 low23 = _mm256_unpacklo_ps(r2, r3), high23 = _mm256_unpackhi_ps(r2, r3);
  _mm256_store_ps(out, _mm256_shuffle_ps(low01, low23, 0x44));
  _mm256_store_ps(out + step, _mm256_shuffle_ps(low01, low23, 0xee));
  _mm256_store_ps(out + 2 * step, _mm256_shuffle_ps(high01, high23, 0x44));
  _mm256_store_ps(out + 3 * step, _mm256_shuffle_ps(high01, high23, 0xee));
}

// The same for 16 channels of 16 rows.
SLUICE_INLINE void transpose16(const float* const* rows, float* out, size_t step) {
#pragma GCC unroll 2
  for (int half = 0; half < 16; half += 8)
#pragma GCC unroll 4
    for (int c = 0; c < 16; c += 4) transpose4(rows + half, c, out + c * step + half, step);
}

}  // namespace

#include "../templates/lanes.inc"
