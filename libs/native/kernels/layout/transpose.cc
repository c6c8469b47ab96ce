// y[columns, rows] = xᵀ[rows, columns], in squares with the side of one vector that are transposed in registers.
#include "kernels/declare.h"
#include "kernels/layout/interleave.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// Transposes rows [row_begin, row_end) of x in strips of up to kLanes rows, so that whole cache lines of y are written if there are enough
// rows.
template <class X, class Y>
static void transpose_typed(const X* x, size_t rows, size_t columns, Y* y, size_t row_begin, size_t row_end) {
  for (size_t r = row_begin; r < row_end; r += kLanes) {
    const size_t height = min(kLanes, row_end - r);
    const X* in = x + r * columns;
    for (size_t c = 0; c < columns; c += kLanes) {
      const size_t width = min(kLanes, columns - c);
      Y* out = y + c * rows + r;
      Vec square[kLanes];
      if (height == kLanes && width == kLanes) {
#pragma GCC unroll 16
        for (size_t i = 0; i < kLanes; i++) square[i] = load(in + i * columns + c);
        transpose_lanes(square);
#pragma GCC unroll 16
        for (size_t i = 0; i < kLanes; i++) store(out + i * rows, square[i]);
      } else {
        for (size_t i = 0; i < kLanes; i++)
          square[i] = i < height ? width < kLanes ? load_part(in + i * columns + c, width) : load(in + i * columns + c) : zero();
        transpose_lanes(square);
        for (size_t i = 0; i < width; i++) height < kLanes ? store_part(out + i * rows, square[i], height) : store(out + i * rows, square[i]);
      }
    }
  }
}

void transpose(In from, size_t rows, size_t columns, Out to, size_t row_begin, size_t row_end) {
  with_types(from, to, [=](auto* x, auto* y) { transpose_typed(x, rows, columns, y, row_begin, row_end); });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
