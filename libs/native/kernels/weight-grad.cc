// weight[m, n] += dyᵀ · x and bias += column sums of dy: the gradient of a linear layer's parameters over one chunk.
//
// The sum runs over the chunk's rows, in slices of 256: a slice of dy's columns is copied next to each other (so that six broadcasts come
// from one cache line, and the TLB sees 48 KiB instead of 256 rows apart), then every panel of x passes over it. One job owns its tile
// of the result: nothing is shared, rows are summed in order.
#include "kernels/micro/tile.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

constexpr size_t kSlice = 256;

void weight_grad(const WeightGradArgs& p, size_t m_begin, size_t m_end, size_t panel_begin, size_t panel_end, float* scratch) {
  const size_t rows = m_end - m_begin;
  for (size_t r = 0; r < p.r; r += kSlice) {
    const size_t slice = smaller(kSlice, p.r - r);
    for (size_t d = 0; d < slice; d++) {
      const float* in = p.dy + (r + d) * p.m + m_begin;
      float* out = scratch + d * kRowBlock;
      for_vectors(rows, [&](size_t i, auto io) { io.put(out + i, io.get(in + i)); });
    }
    if (p.bias && panel_begin == 0)
      for_vectors(rows, [&](size_t i, auto io) {
        Vec sum = zero();
        for (size_t d = 0; d < slice; d++) sum += io.get(scratch + d * kRowBlock + i);
        io.put(p.bias + m_begin + i, io.get(p.bias + m_begin + i) + sum);
      });
    for (size_t panel = panel_begin; panel < panel_end; panel++) {
      const size_t j = panel * kPanelWidth, columns = smaller(kPanelWidth, p.n - j);
      panel_product<true>(rows, slice, scratch, kRowBlock, p.x_packed + j * p.r + r * panel_stride(p.n, panel), p.weight + m_begin * p.n + j,
                          p.n, columns, true, nullptr);
    }
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
