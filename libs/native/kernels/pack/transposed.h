// Packs a matrix that is given by the rows of its transpose into the words of a panel. Squares with the side of one vector of words are
// transposed in registers.
#pragma once
#include "kernels/layout/interleave.h"
#include "kernels/pack/pairs.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// Loads one vector of words from `count` elements at p, padded with zeros.
DS_INLINE Vec words_of(const float* p, size_t count, const float*) { return count < kLanes ? load_part(p, count) : load(p); }
DS_INLINE Vec words_of(const bf16* p, size_t count, const Pair*) {
  if (count >= 2 * kLanes) return load((const float*)p);
#if DROPSTREAM_ISA_avx512
  return (Vec)_mm512_maskz_loadu_epi16((__mmask32)((1u << count) - 1u), p);
#else
  bf16 halves[2 * kLanes] = {};
  for (size_t i = 0; i < count; i++) halves[i] = p[i];
  return load((const float*)halves);
#endif
}
DS_INLINE Vec words_of(const float* p, size_t count, const Pair*) {
  bf16 halves[2 * kLanes] = {};
  for_vectors(min(count, 2 * kLanes), [&](size_t i, auto io) { io.put(halves + i, io.get(p + i)); });
  return load((const float*)halves);
}

// Fills out[step of k][width] from row(j)[k] for every column j, with zeros up to a whole vector after the last column.
template <class Word, class Row>
DS_INLINE void pack_transposed(size_t k, size_t columns, Row row, Word* words, size_t width) {
  constexpr size_t span = kSpan<Word>;
  const size_t steps = steps_of<Word>(k);
  float* out = (float*)words;
  for (size_t r = 0; r < steps; r += kLanes) {
    const size_t depth = min(kLanes, steps - r), count = k - r * span;
    for (size_t column = 0; column < columns; column += kLanes) {
      const size_t filled = min(kLanes, columns - column);
      Vec square[kLanes];
      if (filled == kLanes && count >= kLanes * span) {
#pragma GCC unroll 16
        for (size_t i = 0; i < kLanes; i++) square[i] = words_of(row(column + i) + r * span, kLanes * span, words);
        transpose_lanes(square);
#pragma GCC unroll 16
        for (size_t i = 0; i < kLanes; i++) store(out + (r + i) * width + column, square[i]);
      } else {
#pragma GCC unroll 16
        for (size_t i = 0; i < kLanes; i++) square[i] = i < filled ? words_of(row(column + i) + r * span, count, words) : zero();
        transpose_lanes(square);
#pragma GCC unroll 16
        for (size_t i = 0; i < kLanes; i++)
          if (i < depth) store(out + (r + i) * width + column, square[i]);
      }
    }
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
