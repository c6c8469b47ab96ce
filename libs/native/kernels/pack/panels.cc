// Packing of the right side of a product into panels [panel][k][width rounded up to vectors], padded with zeros: the tile then reads
// whole, contiguous vectors only. Weights are packed once a step, activations once per use.
#include "kernels/declare.h"
#include "kernels/layout/interleave.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

size_t packed_floats(size_t k, size_t n) { return k * round_up(n, kLanes); }

void pack_rows(const PackArgs& p, size_t panel_begin, size_t panel_end, size_t row_begin, size_t row_end) {
  for (size_t panel = panel_begin; panel < panel_end; panel++) {
    const size_t j = panel * kPanelWidth, columns = smaller(kPanelWidth, p.n - j), width = panel_stride(p.n, panel);
    float* out = p.packed + j * p.k + row_begin * width;
    for (size_t r = row_begin; r < row_end; r++, out += width) {
      const float* in = p.source + r * p.stride + j;
      for_vectors(columns, [&](size_t v, auto io) { store(out + v, io.get(in + v)); });
    }
  }
}

// b[k][j] = source[j][k]: squares of one vector a side, turned in registers; columns beyond the last are rows of zeros there.
void pack_columns(const PackArgs& p, size_t panel_begin, size_t panel_end) {
  for (size_t panel = panel_begin; panel < panel_end; panel++) {
    const size_t j = panel * kPanelWidth, columns = smaller(kPanelWidth, p.n - j), width = panel_stride(p.n, panel);
    float* out = p.packed + j * p.k;
    for (size_t r = 0; r < p.k; r += kLanes) {
      const size_t depth = smaller(kLanes, p.k - r);
      for (size_t column = 0; column < columns; column += kLanes) {
        const size_t filled = smaller(kLanes, columns - column);
        const float* in = p.source + (j + column) * p.stride + r;
        Vec square[kLanes];
        if (filled == kLanes && depth == kLanes) {
#pragma GCC unroll 16
          for (size_t i = 0; i < kLanes; i++) square[i] = load(in + i * p.stride);
          transpose_lanes(square);
#pragma GCC unroll 16
          for (size_t i = 0; i < kLanes; i++) store(out + (r + i) * width + column, square[i]);
        } else {
          for (size_t i = 0; i < kLanes; i++) square[i] = i < filled ? depth < kLanes ? load_part(in + i * p.stride, depth) : load(in + i * p.stride) : zero();
          transpose_lanes(square);
          for (size_t i = 0; i < depth; i++) store(out + (r + i) * width + column, square[i]);
        }
      }
    }
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
