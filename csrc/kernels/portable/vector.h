// 16 lanes in four registers of GCC's and Clang's vector extension: SSE2 on x86, NEON on ARM, whatever is at
// hand.
#pragma once

#include <math.h>
#include <string.h>

#define SLUICE_INLINE static inline __attribute__((always_inline))

namespace {

typedef float Quad __attribute__((vector_size(16)));
typedef int Mask __attribute__((vector_size(16)));

struct Vec {
  Quad q[4];
};

template <class F>
SLUICE_INLINE Vec each(F f) {
  return {{f(0), f(1), f(2), f(3)}};
}

SLUICE_INLINE Vec load_unaligned(const float* p) {
  Vec x;
  memcpy(&x, p, sizeof x);
  return x;
}
SLUICE_INLINE Vec load(const float* p) {
  return load_unaligned(static_cast<const float*>(__builtin_assume_aligned(p, 16)));
}
SLUICE_INLINE void store(float* p, Vec x) { memcpy(__builtin_assume_aligned(p, 16), &x, sizeof x); }
SLUICE_INLINE Vec splat(float x) {
  const Quad q = {x, x, x, x};
  return {{q, q, q, q}};
}
SLUICE_INLINE Vec splat_pixel(const float* p) { return splat(*p); }
SLUICE_INLINE Vec add(Vec x, Vec y) {
  return each([&](int i) { return x.q[i] + y.q[i]; });
}
SLUICE_INLINE Vec sub(Vec x, Vec y) {
  return each([&](int i) { return x.q[i] - y.q[i]; });
}
SLUICE_INLINE Vec mul(Vec x, Vec y) {
  return each([&](int i) { return x.q[i] * y.q[i]; });
}
SLUICE_INLINE Vec div(Vec x, Vec y) {
  return each([&](int i) { return x.q[i] / y.q[i]; });
}
SLUICE_INLINE Vec fma(Vec x, Vec y, Vec z) { return add(mul(x, y), z); }
SLUICE_INLINE Vec fnma(Vec x, Vec y, Vec z) { return sub(z, mul(x, y)); }
SLUICE_INLINE Quad choose(Mask mask, Quad yes, Quad no) { return (Quad)((mask & (Mask)yes) | (~mask & (Mask)no)); }
// The second operand wins where either is NaN, which is how a NaN gets through a clamp.
SLUICE_INLINE Vec max(Vec x, Vec y) {
  return each([&](int i) { return choose(x.q[i] > y.q[i], x.q[i], y.q[i]); });
}
// NaN where either is.
SLUICE_INLINE Vec larger(Vec x, Vec y) {
  return each([&](int i) { return choose((x.q[i] > y.q[i]) | (x.q[i] != x.q[i]), x.q[i], y.q[i]); });
}
SLUICE_INLINE Vec min(Vec x, Vec y) {
  return each([&](int i) { return choose(x.q[i] < y.q[i], x.q[i], y.q[i]); });
}
SLUICE_INLINE float lane(Vec x, int i) { return x.q[i / 4][i % 4]; }
// Of what is less than 2^22: beside 1.5 * 2^23 a float has no room for a fraction.
SLUICE_INLINE Vec round(Vec x) {
  const Vec large = splat(12582912.0f);
  return sub(add(x, large), large);
}
SLUICE_INLINE Vec scale_by_power_of_two(Vec x, Vec n) {  // n whole, in [-126, 127]
  return each([&](int i) { return x.q[i] * (Quad)((__builtin_convertvector(n.q[i], Mask) + 127) << 23); });
}
SLUICE_INLINE void prefetch(const float*) {}
SLUICE_INLINE void prefetch_near(const float*) {}

SLUICE_INLINE float sum(Vec x) {
  const Quad q = (x.q[0] + x.q[1]) + (x.q[2] + x.q[3]);
  return (q[0] + q[1]) + (q[2] + q[3]);
}

// out[c * step + lane] = rows[lane][c] for 16 channels of 16 rows.
SLUICE_INLINE void transpose16(const float* const* rows, float* out, size_t step) {
  for (int c = 0; c < 16; ++c)
    for (int i = 0; i < 16; ++i) out[c * step + i] = rows[i][c];
}

}  // namespace

#include "../templates/lanes.inc"
