// The register tile that every matrix product ends in: c[MR, NV vectors] (+)= a · b over k, with one chain of additions per element, in
// ascending k.
//
// b comes from a packed panel, so every load of it is a whole, contiguous vector. a is read in place and broadcast, either along its rows
// or, if it is k-major (for products with a transposed left operand), from MR neighbours in one row. The chain of an element does not
// depend on MR, on NV or on the position of the tile, so the bits of a result do not depend on how rows and columns are split.
//
// bf16 operands are processed in pairs along k, which are 32-bit words. b and a k-major left operand are packed in words. A left operand in
// place is broadcast one word at a time, and for an odd k the last word is built from its one element. One vdpbf16ps or bfdot multiplies a pair;
// without these instructions it takes two FMAs on the halves, which are widened in registers.
//
// The height of a tile keeps 24 accumulators in registers with AVX-512 (6×64, 8×48, 12×32) and NEON (6×16, 8×12, 12×8), 12 with AVX2 (6×16)
// and 8 with 16 registers of 128 bits (4×8). These are enough independent chains to hide the latency of FMAs at two per cycle, and leave registers for b and the
// broadcast. On one Zen 5 core (peak 265 GFLOP/s with AVX-512, 132 with AVX2), products of ViT-T's shapes reach 242 to 271 and 110 to 127
// GFLOP/s (bench/kernels.cc). On Intel, FMAs of 512 bits fill both ports that vectors have, so a step must be FMAs and loads alone: the
// broadcast has to be a load (simd.h's splat). ViT-T's shapes then reach 160 to 170 of 175 GFLOP/s on Emerald Rapids.
#pragma once
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

template <int NV>
constexpr int tile_rows() {
#if DS_REGISTERS == 32
  return NV == 4 ? 6 : NV == 3 ? 8 : 12;
#elif DROPSTREAM_ISA_avx2
  return 6;
#else
  return 4;
#endif
}

DS_INLINE float left_word(const float* a) { return *a; }
template <class A>  // bf16 or Pair
DS_INLINE uint32_t left_word(const A* a) {
  uint32_t word;
  memcpy(&word, a, sizeof word);
  return word;
}

// One step along k: sum[i] += left(i) · b, for one float or one pair.
template <int MR, int NV, class Left>
DS_INLINE void multiply_step(Vec (&sum)[MR][NV], const Left& left, const float* b) {
  Vec right[NV];
#pragma GCC unroll 4
  for (int v = 0; v < NV; v++) right[v] = load(b + v * kLanes);
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
    const Vec factor = splat(left(i));
#pragma GCC unroll 4
    for (int v = 0; v < NV; v++) sum[i][v] = fma(factor, right[v], sum[i][v]);
  }
}
template <int MR, int NV, class Left>
DS_INLINE void multiply_step(Vec (&sum)[MR][NV], const Left& left, const Pair* b) {
  UVec words[NV];
#pragma GCC unroll 4
  for (int v = 0; v < NV; v++) memcpy(&words[v], b + v * kLanes, sizeof(UVec));
#if DROPSTREAM_ISA_avx512_bf16
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
    const __m512bh factor = (__m512bh)splat_bits(left(i));
#pragma GCC unroll 4
    for (int v = 0; v < NV; v++) sum[i][v] = (Vec)_mm512_dpbf16_ps((__m512)sum[i][v], factor, (__m512bh)words[v]);
  }
#elif DROPSTREAM_ISA_neon_bf16
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
    const auto factor = (bfloat16x8_t)splat_bits(left(i));
#pragma GCC unroll 4
    for (int v = 0; v < NV; v++) sum[i][v] = (Vec)vbfdotq_f32((float32x4_t)sum[i][v], factor, (bfloat16x8_t)words[v]);
  }
#else
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
    const Vec factor = (Vec)(splat_bits(left(i)) << 16);
#pragma GCC unroll 4
    for (int v = 0; v < NV; v++) sum[i][v] = fma(factor, (Vec)(words[v] << 16), sum[i][v]);
  }
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
    const Vec factor = (Vec)(splat_bits(left(i)) & 0xffff0000u);
#pragma GCC unroll 4
    for (int v = 0; v < NV; v++) sum[i][v] = fma(factor, (Vec)(words[v] & 0xffff0000u), sum[i][v]);
  }
#endif
}

template <int MR, int NV, bool KMajor, class A, class Word, class C>
__attribute__((noinline)) void tile(size_t k, const A* __restrict a, size_t stride, const Word* __restrict b, C* __restrict c, size_t c_stride,
                                    size_t last_columns, bool accumulate, const float* __restrict bias) {
  Vec sum[MR][NV];
  const bool ragged = last_columns < kLanes;
  const size_t last = (NV - 1) * kLanes;
  if (accumulate) {
#pragma GCC unroll 16
    for (int i = 0; i < MR; i++) {
#pragma GCC unroll 4
      for (int v = 0; v < NV - 1; v++) sum[i][v] = load(c + i * c_stride + v * kLanes);
      sum[i][NV - 1] = ragged ? load_part(c + i * c_stride + last, last_columns) : load(c + i * c_stride + last);
    }
  } else {
#pragma GCC unroll 4
    for (int v = 0; v < NV; v++) {
      Vec start = zero();
      if (bias) start = v == NV - 1 && ragged ? load_part(bias + last, last_columns) : load(bias + v * kLanes);
#pragma GCC unroll 16
      for (int i = 0; i < MR; i++) sum[i][v] = start;
    }
  }
  constexpr size_t span = kSpan<Word>;
  const size_t whole = KMajor ? steps_of<Word>(k) : k / span;
  for (size_t p = 0; p < whole; p++) {
    multiply_step(
        sum, [=](int i) { return left_word(KMajor ? a + i : a + i * stride); }, b);
    a += KMajor ? stride : span;
    b += NV * kLanes;
  }
  if constexpr (!KMajor && span == 2)
    if (k % 2)
      multiply_step(
          sum, [=](int i) { return (uint32_t)a[i * stride].bits; }, b);
#pragma GCC unroll 16
  for (int i = 0; i < MR; i++) {
#pragma GCC unroll 4
    for (int v = 0; v < NV - 1; v++) store(c + i * c_stride + v * kLanes, sum[i][v]);
    if (ragged)
      store_part(c + i * c_stride + last, sum[i][NV - 1], last_columns);
    else
      store(c + i * c_stride + last, sum[i][NV - 1]);
  }
}

// If `rows` < MR, uses the tile of exactly that height.
template <int MR, int NV, bool KMajor, class A, class Word, class C>
DS_INLINE void tile_of(size_t rows, size_t k, const A* a, size_t stride, const Word* b, C* c, size_t c_stride, size_t last_columns, bool accumulate,
                       const float* bias) {
  if (rows == MR) return tile<MR, NV, KMajor>(k, a, stride, b, c, c_stride, last_columns, accumulate, bias);
  if constexpr (MR > 1) return tile_of<MR - 1, NV, KMajor>(rows, k, a, stride, b, c, c_stride, last_columns, accumulate, bias);
}

// Processes all rows for one slice of a panel: c[rows, columns] (+)= a[rows, k] · panel[k, columns].
template <int NV, bool KMajor, class A, class Word, class C>
void panel_of(size_t rows, size_t k, const A* a, size_t stride, const Word* b, C* c, size_t c_stride, size_t columns, bool accumulate, const float* bias) {
  constexpr int MR = tile_rows<NV>();
  const size_t last_columns = columns - (NV - 1) * kLanes;
  for (size_t i = 0; i < rows; i += MR)
    tile_of<MR, NV, KMajor>(min(size_t{MR}, rows - i), k, a + (KMajor ? i : i * stride), stride, b, c + i * c_stride, c_stride, last_columns, accumulate, bias);
}

// c[rows, columns] = (c +) a · b (+ bias), where columns ≤ kPanelWidth and b is one panel of words [steps_of(k)][columns rounded up to
// vectors]. `stride` counts elements of a. The types are
//   fp32: a and b are float.
//   bf16: b is Pair. a is bf16 in place (KMajor false), or Pair [steps_of(k)][stride] (KMajor true; for an odd k the second half of the last
//   pair must be 0).
// c is float, or bf16 that is rounded once, which is not allowed together with `accumulate`.
template <bool KMajor, class A, class Word, class C>
DS_INLINE void panel_product(size_t rows, size_t k, const A* a, size_t stride, const Word* b, C* c, size_t c_stride, size_t columns, bool accumulate,
                             const float* bias) {
  switch (ceil_div(columns, kLanes)) {
    case 1: return panel_of<1, KMajor>(rows, k, a, stride, b, c, c_stride, columns, accumulate, bias);
    case 2: return panel_of<2, KMajor>(rows, k, a, stride, b, c, c_stride, columns, accumulate, bias);
#if DS_REGISTERS == 32
    case 3: return panel_of<3, KMajor>(rows, k, a, stride, b, c, c_stride, columns, accumulate, bias);
    default: return panel_of<4, KMajor>(rows, k, a, stride, b, c, c_stride, columns, accumulate, bias);
#endif
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
