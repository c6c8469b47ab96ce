// Sixteen lanes of 32-bit integers or floats: one register on AVX-512, two on AVX2, four elsewhere. Arithmetic is the compiler's vector
// extension; where that has no operator, or makes scalar code of it (GCC's conversions between widths), stand intrinsics. Everything lives in a
// namespace named after the instruction set, so that no inline function compiled for one CPU can be linked into the path of another.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels.h"

#if DROPSTREAM_PIXELS_avx512 || DROPSTREAM_PIXELS_avx2
#include <immintrin.h>
#endif

#define DS_INLINE inline __attribute__((always_inline))

namespace dropstream::pixels {
namespace DROPSTREAM_PIXELS {

constexpr int kLanes = 16;

#if DROPSTREAM_PIXELS_avx512
constexpr int kParts = 1;
#elif DROPSTREAM_PIXELS_avx2
constexpr int kParts = 2;
#else
constexpr int kParts = 4;
#endif

typedef uint8_t Bytes16 __attribute__((vector_size(16)));
typedef int16_t Short8 __attribute__((vector_size(16)));
typedef int32_t IntPart __attribute__((vector_size(64 / kParts)));
typedef float FloatPart __attribute__((vector_size(64 / kParts)));
typedef double DoublePart __attribute__((vector_size(64 / kParts)));

struct Int16 {
  IntPart part[kParts];
};
struct Float16 {
  FloatPart part[kParts];
};
struct Double8 {
  DoublePart part[kParts];
};

#define DS_EACH for (int i = 0; i < kParts; i++)
#define DS_OPERATOR(Vector, Scalar, op)               \
  DS_INLINE Vector operator op(Vector a, Vector b) {  \
    DS_EACH a.part[i] = a.part[i] op b.part[i];       \
    return a;                                         \
  }                                                   \
  DS_INLINE Vector operator op(Vector a, Scalar b) {  \
    DS_EACH a.part[i] = a.part[i] op b;               \
    return a;                                         \
  }
DS_OPERATOR(Int16, int32_t, +)
DS_OPERATOR(Int16, int32_t, -)
DS_OPERATOR(Int16, int32_t, *)
DS_OPERATOR(Int16, int32_t, >>)
DS_OPERATOR(Int16, int32_t, <<)
DS_OPERATOR(Float16, float, +)
DS_OPERATOR(Float16, float, -)
DS_OPERATOR(Float16, float, *)
DS_OPERATOR(Double8, double, +)
DS_OPERATOR(Double8, double, -)
DS_OPERATOR(Double8, double, *)
DS_OPERATOR(Double8, double, /)
#undef DS_OPERATOR

DS_INLINE Int16 splat(int32_t x) {
  Int16 v;
  DS_EACH v.part[i] = IntPart{} + x;
  return v;
}
DS_INLINE Float16 splat(float x) {
  Float16 v;
  DS_EACH v.part[i] = FloatPart{} + x;
  return v;
}

DS_INLINE int smaller(int a, int b) { return a < b ? a : b; }
DS_INLINE int larger(int a, int b) { return a > b ? a : b; }

template <class Vector>
DS_INLINE Vector load(const void* from) {
  Vector v;
  memcpy(&v, from, sizeof v);
  return v;
}
template <class Vector>
DS_INLINE void store(void* to, Vector v) { memcpy(to, &v, sizeof v); }
// The first `count` bytes only.
DS_INLINE void store_part(uint8_t* to, Bytes16 v, int count) {
  if (count >= kLanes) return store(to, v);
  uint8_t bytes[kLanes];
  store(bytes, v);
  memcpy(to, bytes, static_cast<size_t>(count));
}

#if DROPSTREAM_PIXELS_avx512

DS_INLINE Int16 widen(Bytes16 v) { return {{(IntPart)_mm512_cvtepu8_epi32((__m128i)v)}}; }
// Of lanes from 0 to 255.
DS_INLINE Bytes16 narrow(Int16 v) { return (Bytes16)_mm512_cvtepi32_epi8((__m512i)v.part[0]); }
DS_INLINE Int16 absolute(Int16 v) { return {{(IntPart)_mm512_abs_epi32((__m512i)v.part[0])}}; }
// Saturates.
DS_INLINE Bytes16 narrow_clamped(Int16 v) {
  return (Bytes16)_mm512_cvtusepi32_epi8(_mm512_max_epi32((__m512i)v.part[0], _mm512_setzero_si512()));
}

#elif DROPSTREAM_PIXELS_avx2

DS_INLINE Int16 widen(Bytes16 v) {
  return {{(IntPart)_mm256_cvtepu8_epi32((__m128i)v), (IntPart)_mm256_cvtepu8_epi32(_mm_srli_si128((__m128i)v, 8))}};
}
DS_INLINE Bytes16 narrow_clamped(Int16 v) {
  const __m256i shorts = _mm256_permute4x64_epi64(_mm256_packs_epi32((__m256i)v.part[0], (__m256i)v.part[1]), 0xd8);
  return (Bytes16)_mm_packus_epi16(_mm256_castsi256_si128(shorts), _mm256_extracti128_si256(shorts, 1));
}
DS_INLINE Bytes16 narrow(Int16 v) { return narrow_clamped(v); }
DS_INLINE Int16 absolute(Int16 v) {
  DS_EACH v.part[i] = (IntPart)_mm256_abs_epi32((__m256i)v.part[i]);
  return v;
}

#else

DS_INLINE Int16 widen(Bytes16 v) {
  const Bytes16 none{};
  const auto low = (Short8)__builtin_shufflevector(v, none, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
  const auto high = (Short8)__builtin_shufflevector(v, none, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
  const Short8 zero{};
  return {{(IntPart)__builtin_shufflevector(low, zero, 0, 8, 1, 9, 2, 10, 3, 11), (IntPart)__builtin_shufflevector(low, zero, 4, 12, 5, 13, 6, 14, 7, 15),
           (IntPart)__builtin_shufflevector(high, zero, 0, 8, 1, 9, 2, 10, 3, 11), (IntPart)__builtin_shufflevector(high, zero, 4, 12, 5, 13, 6, 14, 7, 15)}};
}
DS_INLINE Bytes16 narrow(Int16 v) {
  const auto low = (Bytes16)__builtin_shufflevector((Short8)v.part[0], (Short8)v.part[1], 0, 2, 4, 6, 8, 10, 12, 14);
  const auto high = (Bytes16)__builtin_shufflevector((Short8)v.part[2], (Short8)v.part[3], 0, 2, 4, 6, 8, 10, 12, 14);
  return __builtin_shufflevector(low, high, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}
DS_INLINE Bytes16 narrow_clamped(Int16 v) {
  DS_EACH {
    v.part[i] &= v.part[i] > 0;
    const IntPart above = v.part[i] > 255;
    v.part[i] = (v.part[i] | above) & 255;
  }
  return narrow(v);
}
DS_INLINE Int16 absolute(Int16 v) {
  DS_EACH {
    const IntPart sign = v.part[i] >> 31;
    v.part[i] = (v.part[i] ^ sign) - sign;
  }
  return v;
}

#endif

DS_INLINE Float16 to_float(Int16 v) {
  Float16 f;
  DS_EACH f.part[i] = __builtin_convertvector(v.part[i], FloatPart);
  return f;
}
DS_INLINE Double8 splat(double x) {
  Double8 v;
  DS_EACH v.part[i] = DoublePart{} + x;
  return v;
}

// to_byte_range: values cut to 0 … 255 and then to whole numbers. to_doubles: of 8 integers.
#if DROPSTREAM_PIXELS_avx512
DS_INLINE Int16 to_byte_range(Float16 v) {
  const __m512 low = _mm512_max_ps((__m512)v.part[0], _mm512_setzero_ps());
  return {{(IntPart)_mm512_cvttps_epi32(_mm512_min_ps(low, _mm512_set1_ps(255.0f)))}};
}
DS_INLINE void store_byte_range(uint8_t* to, Double8 v) {
  const __m512d cut = _mm512_min_pd(_mm512_max_pd((__m512d)v.part[0], _mm512_setzero_pd()), _mm512_set1_pd(255.0));
  _mm_storel_epi64((__m128i*)to, _mm256_cvtepi32_epi8(_mm512_cvttpd_epi32(cut)));
}
DS_INLINE Double8 to_doubles(const int32_t* from) { return {{(DoublePart)_mm512_cvtepi32_pd(_mm256_loadu_si256((const __m256i*)from))}}; }
DS_INLINE Double8 bytes_to_doubles(const uint8_t* from) {
  return {{(DoublePart)_mm512_cvtepi32_pd(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i*)from)))}};
}
#elif DROPSTREAM_PIXELS_avx2
DS_INLINE Int16 to_byte_range(Float16 v) {
  Int16 r;
  DS_EACH {
    const __m256 low = _mm256_max_ps((__m256)v.part[i], _mm256_setzero_ps());
    r.part[i] = (IntPart)_mm256_cvttps_epi32(_mm256_min_ps(low, _mm256_set1_ps(255.0f)));
  }
  return r;
}
DS_INLINE void store_byte_range(uint8_t* to, Double8 v) {
  __m128i whole[2];
  DS_EACH {
    const __m256d low = _mm256_max_pd((__m256d)v.part[i], _mm256_setzero_pd());
    whole[i] = _mm256_cvttpd_epi32(_mm256_min_pd(low, _mm256_set1_pd(255.0)));
  }
  const __m128i shorts = _mm_packs_epi32(whole[0], whole[1]);
  _mm_storel_epi64((__m128i*)to, _mm_packus_epi16(shorts, shorts));
}
DS_INLINE Double8 to_doubles(const int32_t* from) {
  Double8 v;
  DS_EACH v.part[i] = (DoublePart)_mm256_cvtepi32_pd(_mm_loadu_si128((const __m128i*)(from + 4 * i)));
  return v;
}
DS_INLINE Double8 bytes_to_doubles(const uint8_t* from) {
  const __m128i bytes = _mm_loadl_epi64((const __m128i*)from);
  return {{(DoublePart)_mm256_cvtepi32_pd(_mm_cvtepu8_epi32(bytes)), (DoublePart)_mm256_cvtepi32_pd(_mm_cvtepu8_epi32(_mm_srli_si128(bytes, 4)))}};
}
#else
DS_INLINE Int16 to_byte_range(Float16 v) {
  Int16 r;
  DS_EACH {
    const FloatPart low = v.part[i] > 0.0f ? v.part[i] : FloatPart{};
    r.part[i] = __builtin_convertvector(low < 255.0f ? low : FloatPart{} + 255.0f, IntPart);
  }
  return r;
}
DS_INLINE void store_byte_range(uint8_t* to, Double8 v) {
  double lanes[8];
  memcpy(lanes, &v, sizeof lanes);
  for (int i = 0; i < 8; i++) to[i] = static_cast<uint8_t>(lanes[i] <= 0.0 ? 0.0 : lanes[i] >= 255.0 ? 255.0 : lanes[i]);
}
DS_INLINE Double8 to_doubles(const int32_t* from) {
  double lanes[8];
  for (int i = 0; i < 8; i++) lanes[i] = from[i];
  return load<Double8>(lanes);
}
DS_INLINE Double8 bytes_to_doubles(const uint8_t* from) {
  double lanes[8];
  for (int i = 0; i < 8; i++) lanes[i] = from[i];
  return load<Double8>(lanes);
}
#endif

// Turns 16 × 16 bytes: row i of the input becomes column i of the output.
DS_INLINE void turn(Bytes16 (&m)[16]) {
  Bytes16 n[16];
  for (int round = 0; round < 4; round++) {
    for (int i = 0; i < 8; i++) {
      n[2 * i] = __builtin_shufflevector(m[i], m[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      n[2 * i + 1] = __builtin_shufflevector(m[i], m[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    for (int i = 0; i < 16; i++) m[i] = n[i];
  }
}

}  // namespace DROPSTREAM_PIXELS
}  // namespace dropstream::pixels
