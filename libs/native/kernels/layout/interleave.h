// Interleaves and separates the lanes of two vectors: a0 b0 a1 b1 … of their lower or upper halves; or the even or odd lanes of a, followed
// by those of b.
#pragma once
#include "simd/simd.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

template <class V, size_t... I>
DS_INLINE V interleave_low(V a, V b, Indices<I...>) {
  return DS_SHUFFLE(a, b, I / 2 + (I % 2) * kLanes);
}
template <class V, size_t... I>
DS_INLINE V interleave_high(V a, V b, Indices<I...>) {
  return DS_SHUFFLE(a, b, I / 2 + kLanes / 2 + (I % 2) * kLanes);
}
template <class V, size_t... I>
DS_INLINE V even_lanes(V a, V b, Indices<I...>) {
  return DS_SHUFFLE(a, b, 2 * I);
}
template <class V, size_t... I>
DS_INLINE V odd_lanes(V a, V b, Indices<I...>) {
  return DS_SHUFFLE(a, b, 2 * I + 1);
}

// A perfect shuffle of kLanes rows rotates the bits of (row, lane) by one position; log2(kLanes) shuffles exchange rows and lanes.
template <size_t Left = kLanes>
DS_INLINE void transpose_lanes(Vec row[kLanes]) {
  const AllLanes all{};
  Vec shuffled[kLanes];
#pragma GCC unroll 16
  for (size_t i = 0; i < kLanes / 2; i++) {
    shuffled[2 * i] = interleave_low(row[i], row[i + kLanes / 2], all);
    shuffled[2 * i + 1] = interleave_high(row[i], row[i + kLanes / 2], all);
  }
#pragma GCC unroll 16
  for (size_t i = 0; i < kLanes; i++) row[i] = shuffled[i];
  if constexpr (Left > 2) transpose_lanes<Left / 2>(row);
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
