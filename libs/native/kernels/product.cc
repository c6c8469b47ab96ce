// c = a · b (+ bias, + epilogue) with b packed: the loop nest of every linear layer (y = x·Wᵀ, dx = dy·W) and of attention.
//
// Rows in blocks of 48, which stay in L1/L2 while all panels of b pass; depth in slices of 512. Between depth slices c holds the partial
// sums; storing and reloading fp32 does not change them, so the blocking leaves no trace in the bits.
#include "kernels/epilogue/epilogue.h"
#include "kernels/micro/tile.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

void product(const ProductArgs& p, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end) {
  for (size_t i = row_begin; i < row_end; i += kRowBlock) {
    const size_t rows = smaller(kRowBlock, row_end - i);
    for (size_t depth = 0; depth < p.k; depth += kDepthBlock) {
      const size_t slice = smaller(kDepthBlock, p.k - depth);
      const bool first = depth == 0, last = depth + slice == p.k;
      const float* a = p.a_k_major ? p.a + depth * p.a_stride + i : p.a + i * p.a_stride + depth;
      for (size_t panel = panel_begin; panel < panel_end; panel++) {
        const size_t j = panel * kPanelWidth, columns = smaller(kPanelWidth, p.n - j);
        const float* b = p.b + j * p.k + depth * panel_stride(p.n, panel);
        float* c = p.c + i * p.c_stride + j;
        const bool accumulate = p.accumulate || !first;
        const float* bias = p.bias ? p.bias + j : nullptr;
        if (p.a_k_major)
          panel_product<true>(rows, slice, a, p.a_stride, b, c, p.c_stride, columns, accumulate, bias);
        else
          panel_product<false>(rows, slice, a, p.a_stride, b, c, p.c_stride, columns, accumulate, bias);
        if (last) apply_epilogue(p.epilogue, c, p.side ? p.side + i * p.c_stride + j : nullptr, p.c_stride, rows, columns);
      }
    }
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
