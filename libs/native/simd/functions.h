// exp, the Gaussian through erfc, and log. They are written here so that values do not depend on a C library: the bits are equal wherever
// the instruction set is. The coefficients are minimax fits for these intervals.
#pragma once
#include "simd/simd.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// e^x, relative error ≤ 2e-7 (mostly 1 ulp); 0 below −87.3, saturated above 88.3, NaN stays NaN.
// x = n·ln 2 + r, |r| ≤ ln 2 / 2; e^r = 1 + r + r²·q(r).
DS_INLINE Vec exponential(Vec x) {
  const Vec magic = splat(12582912.0f);  // 1.5·2^23: adding it rounds to an integer held in the low mantissa bits
  const Vec bounded = min(splat(88.3f), max(splat(-87.3f), x));
  const Vec shifted = fma(bounded, splat(1.44269504f), magic);
  const Vec n = shifted - magic;
  Vec r = fma(n, splat(-0.693145752f), bounded);
  r = fma(n, splat(-1.42860677e-6f), r);
  Vec q = splat(0.00139262508f);
  q = fma(q, r, splat(0.00836323288f));
  q = fma(q, r, splat(0.0416665542f));
  q = fma(q, r, splat(0.166665767f));
  q = fma(q, r, splat(0.5f));
  const Vec e = fma(r * r, q, r) + splat(1.0f);
  const IVec exponent = (as_int(shifted) - as_int(magic)) << 23;
  const Vec scaled = as_float(as_int(e) + exponent);
  return x < splat(-87.3f) ? zero() : (x != x ? x : scaled);
}

// 2^x with relative error ≤ 2e-7. It is 0 below −126, infinity from 128 on, and NaN for NaN. x = n + r with r from 0 to 1; 2^r = 1 +
// r·q(r).
DS_INLINE Vec power_of_two(Vec x) {
#if DROPSTREAM_ISA_avx512
  const Vec r = (Vec)_mm512_reduce_ps((__m512)x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
#else
  const Vec magic = splat(12582912.0f);
  const Vec bounded = min(splat(128.0f), max(splat(-126.0f), x));
  const Vec shifted = bounded - splat(0.5f) + magic, r = bounded - (shifted - magic);
#endif
  Vec q = splat(0.00186713005f);
  q = fma(q, r, splat(0.00901703071f));
  q = fma(q, r, splat(0.0557999127f));
  q = fma(q, r, splat(0.240164444f));
  q = fma(q, r, splat(0.693151295f));
  const Vec e = fma(q, r, splat(1.0f));
#if DROPSTREAM_ISA_avx512
  return (Vec)_mm512_scalef_ps((__m512)e, (__m512)x);
#else
  const Vec scaled = as_float(as_int(e) + ((as_int(shifted) - as_int(magic)) << 23));
  return x < splat(-126.0f) ? zero() : (x < splat(128.0f) ? scaled : x + splat(__builtin_inff()));
#endif
}

// The upper tail of the standard normal, P(X > |x|) = erfc(|x|/√2)/2, and e^(−x²/2), which GELU and its gradient both need. erfc(z) =
// e^(−z²)·(1 + w·q(w)) with w = z/(z + 2). For small z, w is exact to 1 ulp and so is erf (|error| ≤ 2e-7 including rounding).
struct Tail {
  Vec tail;
  Vec gaussian;
};
DS_INLINE Tail normal_tail(Vec x) {
  const Vec s = min(splat(1e6f), as_float(as_int(x) & 0x7fffffff) * splat(0.353553391f));
  const Vec w = s / (s + splat(1.0f));
  Vec q = splat(-0.048814213084f);
  q = fma(q, w, splat(0.059743196812f));
  q = fma(q, w, splat(0.083763936978f));
  q = fma(q, w, splat(0.0029031403836f));
  q = fma(q, w, splat(-0.30941605681f));
  q = fma(q, w, splat(-0.27501169464f));
  q = fma(q, w, splat(1.7432578183f));
  q = fma(q, w, splat(-2.2567586981f));
  const Vec gaussian = exponential(x * x * splat(-0.5f));
  return {splat(0.5f) * gaussian * fma(w, q, splat(1.0f)), gaussian};
}

// gelu(x) = x·Φ(x), the exact form with erf.
DS_INLINE Vec gelu(Vec x) {
  const Vec tail = normal_tail(x).tail;
  return x < zero() ? x * tail : x * (splat(1.0f) - tail);
}

// gelu'(x) = Φ(x) + x·φ(x).
DS_INLINE Vec gelu_slope(Vec x) {
  const Tail t = normal_tail(x);
  const Vec below = x < zero() ? t.tail : splat(1.0f) - t.tail;
  return fma(x * splat(0.398942280f), t.gaussian, below);
}

// The same two functions for results that become bf16 (half a unit is 2e-3), with 40 % of the instructions: relative error ≤ 4e-5, in the
// lower tail, too. With z = |x|, r = 1/(1 + 0.375·z): P(X > z) = e^(−z²/2)·R(r).
struct ShortTail {
  Vec z, ratio, gaussian;  // z ≤ 13: beyond, e^(−z²/2) is 0 in any sum
};
DS_INLINE ShortTail short_tail(Vec x) {
  const Vec z = min(splat(13.0f), as_float(as_int(x) & 0x7fffffff));
  const Vec r = splat(1.0f) / fma(z, splat(0.375f), splat(1.0f));
  Vec ratio = splat(-0.09135329f);
  ratio = fma(ratio, r, splat(0.20186178f));
  ratio = fma(ratio, r, splat(0.0823388f));
  ratio = fma(ratio, r, splat(0.15812141f));
  ratio = fma(ratio, r, splat(0.14901941f));
  const Vec exponent = z * splat(-0.72134752f) * z, magic = splat(12582912.0f);  // −z²/2 over ln 2; as in exponential()
  const Vec shifted = exponent + magic, f = exponent - (shifted - magic);
  Vec power = splat(0.00956995f);
  power = fma(power, f, splat(0.05591778f));
  power = fma(power, f, splat(0.24024747f));
  power = fma(power, f, splat(0.69312183f));
  power = fma(power, f, splat(0.99999926f));
  return {z, ratio * r, as_float(as_int(power) + (as_int(shifted) << 23))};
}
template <class Result>
DS_INLINE Vec gelu_for(Vec x) {
  if constexpr (sizeof(Result) == sizeof(float)) return gelu(x);
  const ShortTail t = short_tail(x);
  return max(zero(), x) - t.z * (t.gaussian * t.ratio);
}
template <class Result>
DS_INLINE Vec gelu_slope_for(Vec x) {
  if constexpr (sizeof(Result) == sizeof(float)) return gelu_slope(x);
  const ShortTail t = short_tail(x);
  const Vec below = t.gaussian * fma(t.z, splat(-0.398942280f), t.ratio);
  return x < zero() ? below : splat(1.0f) - below;
}

// ln x of positive normal numbers, |error| ≤ 1 ulp of the larger of x's logarithm and ½: x = m·2^e with m in [⅔, 4⁄3),
// ln m = 2·artanh(s), s = (m − 1)/(m + 1), |s| ≤ 1/5.
DS_INLINE Vec log_positive(Vec x) {
  const IVec offset = as_int(x) - as_int(splat(0.666666687f));
  const IVec exponent = offset >> 23;
  const Vec m = as_float(as_int(x) - (exponent << 23));
  const Vec s = (m - splat(1.0f)) / (m + splat(1.0f)), s2 = s * s;
  Vec series = splat(0.111111111f);
  series = fma(series, s2, splat(0.142857143f));
  series = fma(series, s2, splat(0.2f));
  series = fma(series, s2, splat(0.333333333f));
  const Vec twice = s + s, e = __builtin_convertvector(exponent, Vec);
  const Vec small = fma(series * s2, twice, e * splat(-2.12194440e-4f));
  return fma(e, splat(0.693359375f), twice + small);
}

// Natural logarithm in double, |error| ≤ 2 ulp: x = m·2^e with m in [√½, √2), ln m = 2·artanh((m − 1)/(m + 1)). It is needed once per row
// of the loss, so it is scalar.
inline double logarithm(double x) {
  if (!(x > 0)) return x == 0 ? -__builtin_inf() : __builtin_nan("");
  if (x > 1.7e308) return x;  // infinity
  uint64_t bits;
  memcpy(&bits, &x, 8);
  int64_t exponent = (int64_t)(bits >> 52) - 1023;
  bits = (bits & 0xfffffffffffffull) | 0x3ff0000000000000ull;
  double m;
  memcpy(&m, &bits, 8);
  if (m > 1.4142135623730951) {
    m *= 0.5;
    exponent++;
  }
  const double s = (m - 1) / (m + 1), s2 = s * s;
  double series = 0;
  for (int k = 21; k >= 1; k -= 2) series = series * s2 + 1.0 / k;
  return (double)exponent * 0.69314718055994530942 + 2 * s * series;
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
