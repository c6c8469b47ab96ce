// Sums over the rows of a k-major block, which give a linear layer's bias gradient from words that are already in the cache.
#pragma once
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

DS_INLINE Vec add_word(Vec sum, const float* words) { return sum + load(words); }
DS_INLINE Vec add_word(Vec sum, const Pair* words) {
  const UVec both = (UVec)load((const float*)words);
  return sum + (Vec)(both << 16) + (Vec)(both & 0xffff0000u);
}

// sums[i] += Σ words[step][i] with steps in ascending order, and with both halves of a pair. stride ≥ columns rounded up to whole vectors.
template <class Word>
DS_INLINE void add_columns(size_t steps, size_t columns, const Word* words, size_t stride, float* sums) {
  for_vectors(columns, [&](size_t i, auto io) {
    Vec sum = zero();
    for (size_t step = 0; step < steps; step++) sum = add_word(sum, words + step * stride + i);
    io.put(sums + i, io.get(sums + i) + sum);
  });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
