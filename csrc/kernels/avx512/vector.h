// 16 lanes in one register. Intrinsics only; everything has internal linkage.
#pragma once

#include <immintrin.h>
#include <math.h>

#define SLUICE_INLINE static inline __attribute__((always_inline))

namespace {

using Vec = __m512;

SLUICE_INLINE Vec load(const float* p) { return _mm512_load_ps(p); }
SLUICE_INLINE Vec load_unaligned(const float* p) { return _mm512_loadu_ps(p); }
SLUICE_INLINE void store(float* p, Vec a) { _mm512_store_ps(p, a); }
// Keeps a loaded value from being loaded once more by each of its uses, as GCC likes to.
SLUICE_INLINE Vec in_register(Vec a) {
  asm("" : "+v"(a));
  return a;
}
SLUICE_INLINE Vec splat(float x) { return _mm512_set1_ps(x); }
SLUICE_INLINE Vec splat_pixel(const float* p) { return splat(*p); }
SLUICE_INLINE Vec fma(Vec a, Vec b, Vec c) { return _mm512_fmadd_ps(a, b, c); }
SLUICE_INLINE Vec fnma(Vec a, Vec b, Vec c) { return _mm512_fnmadd_ps(a, b, c); }  // c - a * b
SLUICE_INLINE Vec add(Vec a, Vec b) { return _mm512_add_ps(a, b); }
SLUICE_INLINE Vec sub(Vec a, Vec b) { return _mm512_sub_ps(a, b); }
SLUICE_INLINE Vec mul(Vec a, Vec b) { return _mm512_mul_ps(a, b); }
SLUICE_INLINE Vec div(Vec a, Vec b) { return _mm512_div_ps(a, b); }
// The second operand wins where either is NaN, which is how a NaN gets through a clamp.
SLUICE_INLINE Vec max(Vec a, Vec b) { return _mm512_max_ps(a, b); }
// NaN where either is.
SLUICE_INLINE Vec larger(Vec a, Vec b) {
  return _mm512_mask_mov_ps(max(a, b), _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q), a);
}
SLUICE_INLINE Vec min(Vec a, Vec b) { return _mm512_min_ps(a, b); }
SLUICE_INLINE Vec round(Vec a) { return _mm512_roundscale_ps(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
SLUICE_INLINE Vec scale_by_power_of_two(Vec a, Vec n) { return _mm512_scalef_ps(a, n); }
// Into L2, and into L1.
SLUICE_INLINE void prefetch(const float* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T1); }
SLUICE_INLINE void prefetch_near(const float* p) { _mm_prefetch(reinterpret_cast<const char*>(p), _MM_HINT_T0); }

SLUICE_INLINE float sum(Vec a) { return _mm512_reduce_add_ps(a); }

// Sums of the lanes of four vectors, in the order in which they are given.
SLUICE_INLINE __m128 sums(Vec a, Vec b, Vec c, Vec d) {
  const Vec ab = add(_mm512_unpacklo_ps(a, b), _mm512_unpackhi_ps(a, b));
  const Vec cd = add(_mm512_unpacklo_ps(c, d), _mm512_unpackhi_ps(c, d));
  const Vec all = add(_mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))),
                      _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(ab), _mm512_castps_pd(cd))));
  const __m256 half = _mm256_add_ps(_mm512_castps512_ps256(all), _mm512_extractf32x8_ps(all, 1));
  return _mm_add_ps(_mm256_castps256_ps128(half), _mm256_extractf128_ps(half, 1));
}

// out[c * step + lane] = rows[lane][c] for 16 channels of 16 rows.
SLUICE_INLINE void transpose16(const float* const* rows, float* out, size_t step) {
  Vec a[16], b[16];
#pragma GCC unroll 16
  for (int i = 0; i < 16; ++i) a[i] = load_unaligned(rows[i]);
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    b[2 * i] = _mm512_unpacklo_ps(a[2 * i], a[2 * i + 1]);
    b[2 * i + 1] = _mm512_unpackhi_ps(a[2 * i], a[2 * i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    const __m512d low0 = _mm512_castps_pd(b[4 * i]), high0 = _mm512_castps_pd(b[4 * i + 1]);
    const __m512d low1 = _mm512_castps_pd(b[4 * i + 2]), high1 = _mm512_castps_pd(b[4 * i + 3]);
    a[4 * i] = _mm512_castpd_ps(_mm512_unpacklo_pd(low0, low1));
    a[4 * i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(low0, low1));
    a[4 * i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(high0, high1));
    a[4 * i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(high0, high1));
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    b[j] = _mm512_shuffle_f32x4(a[j], a[4 + j], 0x88);
    b[4 + j] = _mm512_shuffle_f32x4(a[j], a[4 + j], 0xdd);
    b[8 + j] = _mm512_shuffle_f32x4(a[8 + j], a[12 + j], 0x88);
    b[12 + j] = _mm512_shuffle_f32x4(a[8 + j], a[12 + j], 0xdd);
  }
#pragma GCC unroll 4
  for (int j = 0; j < 4; ++j) {
    store(out + j * step, _mm512_shuffle_f32x4(b[j], b[8 + j], 0x88));
    store(out + (8 + j) * step, _mm512_shuffle_f32x4(b[j], b[8 + j], 0xdd));
    store(out + (4 + j) * step, _mm512_shuffle_f32x4(b[4 + j], b[12 + j], 0x88));
    store(out + (12 + j) * step, _mm512_shuffle_f32x4(b[4 + j], b[12 + j], 0xdd));
  }
}

// The four sums of `sums`, clamped after the bias was added; the first `Count` go to out[0], out[1]...
template <int Count>
SLUICE_INLINE void store_sums(float* out, const Vec* a, const float* bias, float low, float high) {
  const Vec none = _mm512_setzero_ps();
  __m128 y = sums(a[0], Count > 1 ? a[1] : none, Count > 2 ? a[2] : none, none);
  y = _mm_add_ps(y, _mm_loadu_ps(bias));
  y = _mm_min_ps(_mm_set1_ps(high), _mm_max_ps(_mm_set1_ps(low), y));
  _mm_store_ss(out, y);
  if constexpr (Count > 1) _mm_store_ss(out + 1, _mm_movehdup_ps(y));
  if constexpr (Count > 2) _mm_store_ss(out + 2, _mm_movehl_ps(y, y));
}

}  // namespace
