// Packing of the right side of a product into panels [panel][k][width rounded up to vectors], padded with zeros: the tile then reads
// whole, contiguous vectors only. Weights are packed once a step, activations once per use.
#include "kernels/declare.h"

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

// b[k][j] = source[j][k]: squares of 16 columns, so that every cache line of the source is used up while it is in L1.
void pack_columns(const PackArgs& p, size_t panel_begin, size_t panel_end) {
  constexpr size_t kSquare = 16;
  for (size_t panel = panel_begin; panel < panel_end; panel++) {
    const size_t j = panel * kPanelWidth, columns = smaller(kPanelWidth, p.n - j), width = panel_stride(p.n, panel);
    float* out = p.packed + j * p.k;
    for (size_t r = 0; r < p.k; r += kSquare) {
      const size_t depth = smaller(kSquare, p.k - r);
      for (size_t column = 0; column < columns; column++) {
        const float* in = p.source + (j + column) * p.stride + r;
        for (size_t d = 0; d < depth; d++) out[(r + d) * width + column] = in[d];
      }
    }
    for (size_t r = 0; r < p.k; r++)
      for (size_t column = columns; column < width; column++) out[r * width + column] = 0;
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
