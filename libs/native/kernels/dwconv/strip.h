// A token map [H·W, C] is convolved in strips of neighbouring columns, one vector of channels at a time, so that every token that is loaded
// contributes to many sums. All of them are in registers: 8 sums, 7 weights and 1 token, or, with 32 registers, two rows of 7 sums and 7
// weights.
#pragma once
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

#if DS_REGISTERS == 32
constexpr size_t kMaxColumns = 7;
#else
constexpr size_t kMaxColumns = 8;
#endif
// The number of channels that are processed together: 49 weights and the 7 × 14 tokens of a strip of 64 channels fit in the L1 cache
// together.
constexpr size_t kChannelBlock = 64;

// The number of strips, of equal width as far as possible.
DS_INLINE size_t strip_columns(size_t width) {
  const size_t strips = ceil_div(width, kMaxColumns);
  return ceil_div(width, strips);
}

// Calls body(Number<columns>) for a strip of 1 to Max columns.
template <size_t N>
struct Number {
  static constexpr size_t value = N;
};
template <size_t Max = kMaxColumns, class Body>
DS_INLINE void with_columns(size_t columns, Body body) {
  if (columns == Max) return body(Number<Max>{});
  if constexpr (Max > 1) with_columns<Max - 1>(columns, body);
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
