// Rearranging the lanes of vectors against each other: the steps that transposes and 2×2 merges are made of.
#pragma once
#include "kernels/simd/simd.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

template <size_t... I>
DS_INLINE Vec interleave_low(Vec a, Vec b, Indices<I...>) {
  return DS_SHUFFLE(a, b, I / 2 + (I % 2) * kLanes);
}
template <size_t... I>
DS_INLINE Vec interleave_high(Vec a, Vec b, Indices<I...>) {
  return DS_SHUFFLE(a, b, I / 2 + kLanes / 2 + (I % 2) * kLanes);
}
template <size_t... I>
DS_INLINE Vec even_lanes(Vec a, Vec b, Indices<I...>) {
  return DS_SHUFFLE(a, b, 2 * I);
}
template <size_t... I>
DS_INLINE Vec odd_lanes(Vec a, Vec b, Indices<I...>) {
  return DS_SHUFFLE(a, b, 2 * I + 1);
}

// One perfect shuffle of `kLanes` rows turns the bits of (row, lane) by one place; log2(kLanes) of them exchange rows and lanes.
template <size_t Left = kLanes>
DS_INLINE void transpose_lanes(Vec row[kLanes]) {
  const AllLanes all{};
  Vec turned[kLanes];
#pragma GCC unroll 16
  for (size_t i = 0; i < kLanes / 2; i++) {
    turned[2 * i] = interleave_low(row[i], row[i + kLanes / 2], all);
    turned[2 * i + 1] = interleave_high(row[i], row[i + kLanes / 2], all);
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < kLanes; i++) row[i] = turned[i];
  if constexpr (Left > 2) transpose_lanes<Left / 2>(row);
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
