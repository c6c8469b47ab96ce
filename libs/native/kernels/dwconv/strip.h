// A token map [H·W, C] is convolved in strips of neighbouring columns for one vector of channels, so that every token that is loaded serves
// many sums, all of them in registers: 8 sums, 7 weights, 1 token; where there are 32 registers, two rows of 7 sums and 7 weights.
#pragma once
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

#if DROPSTREAM_ISA_avx512
constexpr size_t kMaxColumns = 7;
#else
constexpr size_t kMaxColumns = 8;
#endif
// Channels worked on before the next ones: 49 weights and the 7 × 14 tokens of a strip of 64 channels share the L1 cache.
constexpr size_t kChannelBlock = 64;

// Strips of equal width, where they can be.
DS_INLINE size_t strip_columns(size_t width) {
  const size_t strips = ceil_div(width, kMaxColumns);
  return ceil_div(width, strips);
}

// Calls body(Number<columns>) for a strip of 1 to Most columns.
template <size_t N>
struct Number {
  static constexpr size_t value = N;
};
template <size_t Most = kMaxColumns, class Body>
DS_INLINE void with_columns(size_t columns, Body body) {
  if (columns == Most) return body(Number<Most>{});
  if constexpr (Most > 1) with_columns<Most - 1>(columns, body);
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
