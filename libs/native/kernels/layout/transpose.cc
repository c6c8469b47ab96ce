// y[columns, rows] = xᵀ[rows, columns], in squares with the side of one vector that are transposed in registers.
//
// bf16 that stays bf16 is moved in squares of twice that side: two neighbouring rows make words, one with both elements of an even column and one
// with those of an odd column, and the words are transposed like floats. That takes a third of the shuffles of widened elements, which limit
// processors with one port for them (Intel), and writes whole cache lines of y with AVX-512.
#include "kernels/declare.h"
#include "kernels/layout/interleave.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// Rows [0, height ≤ kLanes) and columns [first, columns) of x; y begins at the first of these rows.
template <class X, class Y>
static DS_INLINE void transpose_strip(const X* x, size_t height, size_t first, size_t columns, Y* y, size_t rows) {
  for (size_t c = first; c < columns; c += kLanes) {
    const size_t width = min(kLanes, columns - c);
    Y* out = y + c * rows;
    Vec square[kLanes];
    if (height == kLanes && width == kLanes) {
#pragma GCC unroll 16
      for (size_t i = 0; i < kLanes; i++) square[i] = load(x + i * columns + c);
      transpose_lanes(square);
#pragma GCC unroll 16
      for (size_t i = 0; i < kLanes; i++) store(out + i * rows, square[i]);
    } else {
      for (size_t i = 0; i < kLanes; i++) square[i] = i < height ? width < kLanes ? load_part(x + i * columns + c, width) : load(x + i * columns + c) : zero();
      transpose_lanes(square);
      for (size_t i = 0; i < width; i++) height < kLanes ? store_part(out + i * rows, square[i], height) : store(out + i * rows, square[i]);
    }
  }
}

// The even or the odd columns of a square of 2·kLanes rows and columns.
template <bool Odd>
static DS_INLINE void transpose_words(const bf16* x, size_t columns, bf16* y, size_t rows) {
  Vec square[kLanes];
#pragma GCC unroll 16
  for (size_t i = 0; i < kLanes; i++) {
    const UVec first = (UVec)load((const float*)(x + 2 * i * columns)), second = (UVec)load((const float*)(x + (2 * i + 1) * columns));
    square[i] = (Vec)(Odd ? first >> 16 | (second & 0xffff0000u) : (first & 0xffffu) | second << 16);
  }
  transpose_lanes(square);
#pragma GCC unroll 16
  for (size_t i = 0; i < kLanes; i++) store((float*)(y + (2 * i + Odd) * rows), square[i]);
}

template <class X, class Y>
static void transpose_typed(const X* x, size_t rows, size_t columns, Y* y, size_t row_begin, size_t row_end) {
  size_t r = row_begin;
  if constexpr (sizeof(X) == sizeof(bf16) && sizeof(Y) == sizeof(bf16))
    for (; r + 2 * kLanes <= row_end; r += 2 * kLanes) {
      const bf16* in = x + r * columns;
      bf16* out = y + r;
      size_t c = 0;
      for (; c + 2 * kLanes <= columns; c += 2 * kLanes) {
        transpose_words<false>(in + c, columns, out + c * rows, rows);
        transpose_words<true>(in + c, columns, out + c * rows, rows);
      }
      for (size_t half = 0; half < 2 * kLanes; half += kLanes) transpose_strip(in + half * columns, kLanes, c, columns, out + half, rows);
    }
  for (; r < row_end; r += kLanes) transpose_strip(x + r * columns, min(kLanes, row_end - r), 0, columns, y + r, rows);
}

void transpose(In from, size_t rows, size_t columns, Out to, size_t row_begin, size_t row_end) {
  with_types(from, to, [=](auto* x, auto* y) { transpose_typed(x, rows, columns, y, row_begin, row_end); });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
