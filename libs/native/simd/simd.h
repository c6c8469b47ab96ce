// Vectors of the instruction set that this translation unit is compiled for. Kernels work on one register of floats (Vec, kLanes wide).
// Pixels work on sixteen lanes of integers or floats (Int16, Float16: one register with AVX-512, two with AVX2, four elsewhere), because a
// row of bytes is loaded sixteen at a time.
//
// avx512_bf16 is also avx512, and neon_bf16 is also neon: both of their macros are defined then.
//
// Arithmetic uses the compiler's vector extension (+, −, ·, /, comparisons, selects); this file defines only the operations that have no
// operator. Everything is in a namespace named after the instruction set, so that the linker cannot choose an inline function that was
// compiled for another CPU. For the same reason kernels use no templates of the standard library.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#if DROPSTREAM_ISA_avx512 || DROPSTREAM_ISA_avx2
#include <immintrin.h>
#elif DROPSTREAM_ISA_neon
#include <arm_neon.h>
#elif defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "kernels/types.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

#if DROPSTREAM_ISA_avx512
constexpr size_t kLanes = 16;
#elif DROPSTREAM_ISA_avx2
constexpr size_t kLanes = 8;
#else
constexpr size_t kLanes = 4;
#endif

// The number of vector registers, which decides how many sums kernels keep in them.
#if DROPSTREAM_ISA_avx512 || DROPSTREAM_ISA_neon
#define DS_REGISTERS 32
#else
#define DS_REGISTERS 16
#endif

typedef float Vec __attribute__((vector_size(kLanes * 4)));
typedef int32_t IVec __attribute__((vector_size(kLanes * 4)));
typedef uint32_t UVec __attribute__((vector_size(kLanes * 4)));
typedef uint64_t WideVec __attribute__((vector_size(kLanes * 4)));  // kLanes / 2 lanes

DS_INLINE size_t min(size_t a, size_t b) { return a < b ? a : b; }
DS_INLINE int min(int a, int b) { return a < b ? a : b; }
DS_INLINE int max(int a, int b) { return a > b ? a : b; }
DS_INLINE size_t round_up(size_t n, size_t multiple) { return ceil_div(n, multiple) * multiple; }

DS_INLINE Vec zero() { return Vec{}; }
// Not Vec{} + x: adding zero changes the sign of −0, so the compiler must add before it broadcasts. That takes two instructions on the ports
// of the FMAs (on Intel; a product then reaches two thirds of the peak) where this is a load that broadcasts.
DS_INLINE Vec splat(float x) { return x - Vec{}; }
DS_INLINE UVec splat_bits(uint32_t x) { return UVec{} + x; }
DS_INLINE Vec as_float(IVec x) { return (Vec)x; }
DS_INLINE IVec as_int(Vec x) { return (IVec)x; }

DS_INLINE Vec load(const float* p) {
  Vec v;
  memcpy(&v, p, sizeof v);
  return v;
}
DS_INLINE void store(float* p, Vec v) { memcpy(p, &v, sizeof v); }

// Elements are bf16 in memory and fp32 in registers. Stores round to nearest even and keep NaN.
typedef uint16_t HalfVec __attribute__((vector_size(kLanes * 2)));
#if DROPSTREAM_ISA_avx512
// One shuffle replaces extension and shift, which would be two instructions on the ports that FMAs need. The lower half of every lane takes
// word 16, which is zero, because a load of 256 bits clears the rest of its register. (A mask that clears it costs as much as the shuffle on
// Intel, where compilers copy it anew to a mask register, through port 5, for every vector.)
DS_INLINE Vec widen(HalfVec halves) {
  const __m512i place = _mm512_set_epi16(15, 16, 14, 16, 13, 16, 12, 16, 11, 16, 10, 16, 9, 16, 8, 16, 7, 16, 6, 16, 5, 16, 4, 16, 3, 16, 2, 16, 1, 16, 0, 16);
  return (Vec)_mm512_permutexvar_epi16(place, _mm512_zextsi256_si512((__m256i)halves));
}
#elif DROPSTREAM_ISA_neon
DS_INLINE Vec widen(HalfVec halves) {
  const uint16x8_t both = vcombine_u16((uint16x4_t)halves, (uint16x4_t)halves);
  return (Vec)vzip1q_u16(vdupq_n_u16(0), both);
}
#else
DS_INLINE Vec widen(HalfVec halves) { return (Vec)(__builtin_convertvector(halves, UVec) << 16); }
#endif
DS_INLINE HalfVec narrow(Vec v) {
#if DROPSTREAM_ISA_avx512_bf16
  return (HalfVec)_mm512_cvtneps_pbh((__m512)v);
#elif DROPSTREAM_ISA_neon_bf16
  return (HalfVec)vcvt_bf16_f32((float32x4_t)v);
#else
  const UVec bits = (UVec)v, rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16, quiet = bits >> 16 | 0x40;
  return __builtin_convertvector(v == v ? rounded : quiet, HalfVec);
#endif
}
DS_INLINE Vec load(const bf16* p) {
  HalfVec halves;
  memcpy(&halves, p, sizeof halves);
  return widen(halves);
}
DS_INLINE void store(bf16* p, Vec v) {
  const HalfVec halves = narrow(v);
  memcpy(p, &halves, sizeof halves);
}
// Words of two bf16 per lane, `first` in the lower half. They are rounded from fp32 here, or were loaded as bf16.
template <class Source>
DS_INLINE Vec pair_up(Vec first, Vec second) {
  if constexpr (sizeof(Source) == sizeof(bf16)) return (Vec)((UVec)first >> 16 | (UVec)second);
#if DROPSTREAM_ISA_avx512_bf16
  // The vectors are rounded side by side and then shuffled into the order 0 16 1 17 …
  const __m512i order = _mm512_set_epi32(0x1f000f, 0x1e000e, 0x1d000d, 0x1c000c, 0x1b000b, 0x1a000a, 0x190009, 0x180008, 0x170007, 0x160006, 0x150005, 0x140004,
                                         0x130003, 0x120002, 0x110001, 0x100000);
  return (Vec)_mm512_permutexvar_epi16(order, (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first));
#elif DROPSTREAM_ISA_neon
  const auto a = (uint16x4_t)narrow(first), b = (uint16x4_t)narrow(second);
  return (Vec)vcombine_u16(vzip1_u16(a, b), vzip2_u16(a, b));
#endif
  return (Vec)(__builtin_convertvector(narrow(first), UVec) | __builtin_convertvector(narrow(second), UVec) << 16);
}
DS_INLINE float to_float(float x) { return x; }
DS_INLINE float to_float(bf16 x) {
  const uint32_t bits = (uint32_t)x.bits << 16;
  float value;
  memcpy(&value, &bits, sizeof value);
  return value;
}
DS_INLINE void set(float* p, float x) { *p = x; }
DS_INLINE void set(bf16* p, float x) { p->bits = narrow(splat(x))[0]; }

// load_part / store_part: only the first n < kLanes elements. Other lanes of a load are 0, or come from `rest`; memory beyond the n
// elements is not accessed and need not be mapped. fma: a·b + c, with one rounding if the CPU has the instruction. max / min: the second
// operand if either is NaN. multiply_low: the product of the lower 32 bits of every 64-bit lane. bits_at_most: bit i says whether x ≤ limit
// in lane i. keep: x in lanes whose bit is 1, else 0.
#if DROPSTREAM_ISA_avx512
DS_INLINE __mmask16 first(size_t n) { return (__mmask16)((1u << n) - 1u); }
DS_INLINE Vec load_part(const float* p, size_t n) { return (Vec)_mm512_maskz_loadu_ps(first(n), p); }
DS_INLINE Vec load_part_or(const float* p, size_t n, Vec rest) { return (Vec)_mm512_mask_loadu_ps((__m512)rest, first(n), p); }
DS_INLINE void store_part(float* p, Vec v, size_t n) { _mm512_mask_storeu_ps(p, first(n), (__m512)v); }
DS_INLINE Vec load_part(const bf16* p, size_t n) { return widen((HalfVec)_mm256_maskz_loadu_epi16(first(n), p)); }
DS_INLINE void store_part(bf16* p, Vec v, size_t n) { _mm256_mask_storeu_epi16(p, first(n), (__m256i)narrow(v)); }
DS_INLINE Vec fma(Vec a, Vec b, Vec c) { return (Vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c); }
DS_INLINE Vec max(Vec a, Vec b) { return (Vec)_mm512_max_ps((__m512)a, (__m512)b); }
DS_INLINE Vec min(Vec a, Vec b) { return (Vec)_mm512_min_ps((__m512)a, (__m512)b); }
DS_INLINE Vec square_root(Vec a) { return (Vec)_mm512_sqrt_ps((__m512)a); }
DS_INLINE WideVec multiply_low(WideVec a, WideVec b) { return (WideVec)_mm512_mul_epu32((__m512i)a, (__m512i)b); }
DS_INLINE WideVec exclusive_or(WideVec a, WideVec b, WideVec c) { return (WideVec)_mm512_ternarylogic_epi64((__m512i)a, (__m512i)b, (__m512i)c, 0x96); }
DS_INLINE uint32_t bits_at_most(UVec x, UVec limit) { return _cvtmask16_u32(_mm512_cmple_epu32_mask((__m512i)x, (__m512i)limit)); }
DS_INLINE Vec keep(Vec x, uint32_t bits) { return (Vec)_mm512_maskz_mov_ps((__mmask16)bits, (__m512)x); }
#elif DROPSTREAM_ISA_avx2
alignas(32) static const int32_t kFirst[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
DS_INLINE __m256i first(size_t n) { return _mm256_loadu_si256((const __m256i*)(kFirst + 8 - n)); }
DS_INLINE Vec load_part(const float* p, size_t n) { return (Vec)_mm256_maskload_ps(p, first(n)); }
DS_INLINE Vec load_part_or(const float* p, size_t n, Vec rest) {
  return (Vec)_mm256_blendv_ps((__m256)rest, _mm256_maskload_ps(p, first(n)), _mm256_castsi256_ps(first(n)));
}
DS_INLINE void store_part(float* p, Vec v, size_t n) { _mm256_maskstore_ps(p, first(n), (__m256)v); }
DS_INLINE Vec fma(Vec a, Vec b, Vec c) { return (Vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c); }
DS_INLINE Vec max(Vec a, Vec b) { return (Vec)_mm256_max_ps((__m256)a, (__m256)b); }
DS_INLINE Vec min(Vec a, Vec b) { return (Vec)_mm256_min_ps((__m256)a, (__m256)b); }
DS_INLINE Vec square_root(Vec a) { return (Vec)_mm256_sqrt_ps((__m256)a); }
DS_INLINE WideVec multiply_low(WideVec a, WideVec b) { return (WideVec)_mm256_mul_epu32((__m256i)a, (__m256i)b); }
DS_INLINE uint32_t bits_at_most(UVec x, UVec limit) { return (uint32_t)_mm256_movemask_ps((__m256)(x <= limit)); }
DS_INLINE Vec keep(Vec x, uint32_t bits) {
  const UVec lane = {1, 2, 4, 8, 16, 32, 64, 128};
  return (Vec)((UVec)x & (UVec)((splat_bits(bits) & lane) == lane));
}
#else
DS_INLINE Vec load_part(const float* p, size_t n) {
  float lanes[kLanes] = {};
  for (size_t i = 0; i < n; i++) lanes[i] = p[i];
  return load(lanes);
}
DS_INLINE Vec load_part_or(const float* p, size_t n, Vec rest) {
  for (size_t i = 0; i < n; i++) rest[i] = p[i];
  return rest;
}
DS_INLINE void store_part(float* p, Vec v, size_t n) {
  for (size_t i = 0; i < n; i++) p[i] = v[i];
}
DS_INLINE Vec max(Vec a, Vec b) { return a > b ? a : b; }
DS_INLINE Vec min(Vec a, Vec b) { return a < b ? a : b; }
#if DROPSTREAM_ISA_neon
DS_INLINE Vec fma(Vec a, Vec b, Vec c) { return (Vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b); }
DS_INLINE Vec square_root(Vec a) { return (Vec)vsqrtq_f32((float32x4_t)a); }
DS_INLINE WideVec multiply_low(WideVec a, WideVec b) { return (WideVec)vmull_u32(vmovn_u64((uint64x2_t)a), vmovn_u64((uint64x2_t)b)); }
DS_INLINE uint32_t bits_at_most(UVec x, UVec limit) { return vaddvq_u32((uint32x4_t)((UVec)(x <= limit) & UVec{1, 2, 4, 8})); }
#else
DS_INLINE Vec fma(Vec a, Vec b, Vec c) { return a * b + c; }
DS_INLINE Vec square_root(Vec a) {
  Vec r;
  for (size_t i = 0; i < kLanes; i++) r[i] = __builtin_sqrtf(a[i]);
  return r;
}
#if defined(__SSE2__)
DS_INLINE WideVec multiply_low(WideVec a, WideVec b) { return (WideVec)_mm_mul_epu32((__m128i)a, (__m128i)b); }
DS_INLINE uint32_t bits_at_most(UVec x, UVec limit) { return (uint32_t)_mm_movemask_ps((__m128)(x <= limit)); }
#else
DS_INLINE WideVec multiply_low(WideVec a, WideVec b) {
  const WideVec low = WideVec{} + 0xffffffffu;
  return (a & low) * (b & low);
}
DS_INLINE uint32_t bits_at_most(UVec x, UVec limit) {
  const UVec at_most = (UVec)(x <= limit) & UVec{1, 2, 4, 8};
  return at_most[0] | at_most[1] | at_most[2] | at_most[3];
}
#endif
#endif
DS_INLINE Vec keep(Vec x, uint32_t bits) {
  const UVec lane = {1, 2, 4, 8};
  return (Vec)((UVec)x & (UVec)((splat_bits(bits) & lane) == lane));
}
#endif

#if !DROPSTREAM_ISA_avx512
DS_INLINE WideVec exclusive_or(WideVec a, WideVec b, WideVec c) { return a ^ b ^ c; }
DS_INLINE Vec load_part(const bf16* p, size_t n) {
  HalfVec halves{};
  for (size_t i = 0; i < n; i++) halves[i] = p[i].bits;
  return widen(halves);
}
DS_INLINE void store_part(bf16* p, Vec v, size_t n) {
  const HalfVec halves = narrow(v);
  for (size_t i = 0; i < n; i++) p[i].bits = halves[i];
}
#endif

// 0, 1 … N − 1 as a pack, and a shuffle by such a pack. GCC before 12 has only __builtin_shuffle; Clang has only __builtin_shufflevector.
template <size_t... I>
struct Indices {};
template <size_t N, size_t... I>
struct IndicesTo : IndicesTo<N - 1, N - 1, I...> {};
template <size_t... I>
struct IndicesTo<0, I...> {
  typedef Indices<I...> type;
};

#ifdef __clang__
#define DS_SHUFFLE(a, b, lane) __builtin_shufflevector(a, b, (int)(lane)...)
#else
#define DS_SHUFFLE(a, b, lane) __builtin_shuffle(a, b, UVec{(uint32_t)(lane)...})
#endif
typedef IndicesTo<kLanes>::type AllLanes;

// Rotates the lanes: lane i receives lane i + Step, modulo the number of lanes.
template <size_t Step, size_t... I>
DS_INLINE Vec rotate(Vec v, Indices<I...>) {
  return DS_SHUFFLE(v, v, (I + Step) % kLanes);
}

// Sums and maxima over the lanes, by adding halves, so that the order is the same in every run.
template <size_t Step = kLanes / 2>
DS_INLINE float sum_lanes(Vec v) {
  v += rotate<Step>(v, AllLanes{});
  if constexpr (Step > 1)
    return sum_lanes<Step / 2>(v);
  else
    return v[0];
}
template <size_t Step = kLanes / 2>
DS_INLINE float max_lanes(Vec v) {
  v = max(v, rotate<Step>(v, AllLanes{}));
  if constexpr (Step > 1)
    return max_lanes<Step / 2>(v);
  else
    return v[0];
}

// How a loop body reads and writes one vector: all of it, or only the first n elements at the end of a row.
struct Whole {
  template <class T>
  DS_INLINE Vec get(const T* p) const {
    return load(p);
  }
  template <class T>
  DS_INLINE void put(T* p, Vec v) const {
    store(p, v);
  }
  // The elements of v, with zeros beyond the end.
  DS_INLINE Vec only(Vec v) const { return v; }
};
struct Part {
  size_t n;
  DS_INLINE Vec only(Vec v) const { return keep(v, (1u << n) - 1); }
  template <class T>
  DS_INLINE Vec get(const T* p) const {
    return load_part(p, n);
  }
  template <class T>
  DS_INLINE void put(T* p, Vec v) const {
    store_part(p, v, n);
  }
};

// Calls body(offset, Whole or Part) for every vector of n elements, in order.
template <class Body>
DS_INLINE void for_vectors(size_t n, Body body) {
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) body(i, Whole{});
  if (i < n) body(i, Part{n - i});
}

// The lanes in which pixels are computed. Intrinsics are used where the vector extension has no operator, or where GCC would make scalar
// code of it (for example conversions between widths).
constexpr int kPixels = 16;

#if DROPSTREAM_ISA_avx512
constexpr int kParts = 1;
#elif DROPSTREAM_ISA_avx2
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
#define DS_OPERATOR(Vector, Scalar, op)              \
  DS_INLINE Vector operator op(Vector a, Vector b) { \
    DS_EACH a.part[i] = a.part[i] op b.part[i];      \
    return a;                                        \
  }                                                  \
  DS_INLINE Vector operator op(Vector a, Scalar b) { \
    DS_EACH a.part[i] = a.part[i] op b;              \
    return a;                                        \
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

DS_INLINE Int16 splat16(int32_t x) {
  Int16 v;
  DS_EACH v.part[i] = IntPart{} + x;
  return v;
}
DS_INLINE Float16 splat16(float x) {
  Float16 v;
  DS_EACH v.part[i] = FloatPart{} + x;
  return v;
}

template <class Vector>
DS_INLINE Vector load(const void* from) {
  Vector v;
  memcpy(&v, from, sizeof v);
  return v;
}
template <class Vector>
DS_INLINE void store(void* to, Vector v) {
  memcpy(to, &v, sizeof v);
}
// Only the first `count` bytes.
DS_INLINE void store_part(uint8_t* to, Bytes16 v, int count) {
  if (count >= kPixels) return store(to, v);
  uint8_t bytes[kPixels];
  store(bytes, v);
  memcpy(to, bytes, static_cast<size_t>(count));
}

#if DROPSTREAM_ISA_avx512

DS_INLINE Int16 widen(Bytes16 v) { return {{(IntPart)_mm512_cvtepu8_epi32((__m128i)v)}}; }
// For lanes from 0 to 255.
DS_INLINE Bytes16 narrow(Int16 v) { return (Bytes16)_mm512_cvtepi32_epi8((__m512i)v.part[0]); }
DS_INLINE Int16 absolute(Int16 v) { return {{(IntPart)_mm512_abs_epi32((__m512i)v.part[0])}}; }
// The result saturates.
DS_INLINE Bytes16 narrow_clamped(Int16 v) { return (Bytes16)_mm512_cvtusepi32_epi8(_mm512_max_epi32((__m512i)v.part[0], _mm512_setzero_si512())); }

#elif DROPSTREAM_ISA_avx2

DS_INLINE Int16 widen(Bytes16 v) { return {{(IntPart)_mm256_cvtepu8_epi32((__m128i)v), (IntPart)_mm256_cvtepu8_epi32(_mm_srli_si128((__m128i)v, 8))}}; }
DS_INLINE Bytes16 narrow_clamped(Int16 v) {
  const __m256i shorts = _mm256_permute4x64_epi64(_mm256_packs_epi32((__m256i)v.part[0], (__m256i)v.part[1]), 0xd8);
  return (Bytes16)_mm_packus_epi16(_mm256_castsi256_si128(shorts), _mm256_extracti128_si256(shorts, 1));
}
DS_INLINE Bytes16 narrow(Int16 v) { return narrow_clamped(v); }
DS_INLINE Int16 absolute(Int16 v) {
  DS_EACH v.part[i] = (IntPart)_mm256_abs_epi32((__m256i)v.part[i]);
  return v;
}

#elif DROPSTREAM_ISA_neon

DS_INLINE Int16 widen(Bytes16 v) {
  const uint16x8_t low = vmovl_u8(vget_low_u8((uint8x16_t)v)), high = vmovl_high_u8((uint8x16_t)v);
  return {{(IntPart)vmovl_u16(vget_low_u16(low)), (IntPart)vmovl_high_u16(low), (IntPart)vmovl_u16(vget_low_u16(high)), (IntPart)vmovl_high_u16(high)}};
}
DS_INLINE Bytes16 narrow(Int16 v) {
  const uint16x8_t low = vuzp1q_u16((uint16x8_t)v.part[0], (uint16x8_t)v.part[1]), high = vuzp1q_u16((uint16x8_t)v.part[2], (uint16x8_t)v.part[3]);
  return (Bytes16)vuzp1q_u8((uint8x16_t)low, (uint8x16_t)high);
}
DS_INLINE Bytes16 narrow_clamped(Int16 v) {
  const uint16x8_t low = vqmovun_high_s32(vqmovun_s32((int32x4_t)v.part[0]), (int32x4_t)v.part[1]);
  const uint16x8_t high = vqmovun_high_s32(vqmovun_s32((int32x4_t)v.part[2]), (int32x4_t)v.part[3]);
  return (Bytes16)vqmovn_high_u16(vqmovn_u16(low), high);
}
DS_INLINE Int16 absolute(Int16 v) {
  DS_EACH v.part[i] = (IntPart)vabsq_s32((int32x4_t)v.part[i]);
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
DS_INLINE Double8 splat8(double x) {
  Double8 v;
  DS_EACH v.part[i] = DoublePart{} + x;
  return v;
}

// to_byte_range: clamps values to 0 … 255 and then truncates them to whole numbers. to_doubles: converts 8 integers.
#if DROPSTREAM_ISA_avx512
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
#elif DROPSTREAM_ISA_avx2
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
#elif DROPSTREAM_ISA_neon
DS_INLINE Int16 to_byte_range(Float16 v) {
  Int16 r;
  // Of a NaN and a number, the number: as where a comparison chooses.
  DS_EACH {
    const float32x4_t low = vmaxnmq_f32((float32x4_t)v.part[i], vdupq_n_f32(0.0f));
    r.part[i] = (IntPart)vcvtq_s32_f32(vminnmq_f32(low, vdupq_n_f32(255.0f)));
  }
  return r;
}
DS_INLINE void store_byte_range(uint8_t* to, Double8 v) {
  uint64x2_t whole[4];
  DS_EACH whole[i] = vcvtq_u64_f64(vminnmq_f64(vmaxnmq_f64((float64x2_t)v.part[i], vdupq_n_f64(0.0)), vdupq_n_f64(255.0)));
  const uint32x4_t low = vuzp1q_u32((uint32x4_t)whole[0], (uint32x4_t)whole[1]), high = vuzp1q_u32((uint32x4_t)whole[2], (uint32x4_t)whole[3]);
  vst1_u8(to, vmovn_u16(vuzp1q_u16((uint16x8_t)low, (uint16x8_t)high)));
}
DS_INLINE Double8 to_doubles(const int32_t* from) {
  Double8 v;
  DS_EACH v.part[i] = (DoublePart)vcvtq_f64_s64(vmovl_s32(vld1_s32(from + 2 * i)));
  return v;
}
DS_INLINE Double8 bytes_to_doubles(const uint8_t* from) {
  const uint16x8_t shorts = vmovl_u8(vld1_u8(from));
  const uint32x4_t low = vmovl_u16(vget_low_u16(shorts)), high = vmovl_high_u16(shorts);
  return {{(DoublePart)vcvtq_f64_u64(vmovl_u32(vget_low_u32(low))), (DoublePart)vcvtq_f64_u64(vmovl_high_u32(low)),
           (DoublePart)vcvtq_f64_u64(vmovl_u32(vget_low_u32(high))), (DoublePart)vcvtq_f64_u64(vmovl_high_u32(high))}};
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

// Transposes 16 × 16 bytes: row i of the input becomes column i of the output.
DS_INLINE void transpose(Bytes16 (&m)[16]) {
  Bytes16 n[16];
  for (int round = 0; round < 4; round++) {
    for (int i = 0; i < 8; i++) {
      n[2 * i] = __builtin_shufflevector(m[i], m[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      n[2 * i + 1] = __builtin_shufflevector(m[i], m[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    for (int i = 0; i < 16; i++) m[i] = n[i];
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
