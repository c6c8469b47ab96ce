// c = a · b for bf16, in tiles; fp32 operands go to the vector kernel. If c is fp32, it holds the sums itself. If c is bf16, the sums are
// kept in a buffer of 64 rows by one panel (16 KiB) until all of k has been added. The left operand of a slice is cut into strips once, for
// all panels that follow.
#include "kernels/amx/nest.h"
#include "kernels/epilogue/epilogue.h"

namespace dropstream {
namespace DROPSTREAM_BASE {
void product(const ProductArgs&, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end);
}
namespace DROPSTREAM_ISA {

template <class C>
static void product_of(const ProductArgs& p, C* c, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end) {
  constexpr bool kFull = sizeof(C) == sizeof(float);
  alignas(64) float waiting[kFull ? 1 : kTiledRows * kPanelWidth];
  alignas(64) char spare[kTiledRows * kTiledDepth * sizeof(bf16)];
  Strip left[kStrips];
  const Pair* packed = static_cast<const Pair*>(p.b.at);
  for (size_t i = row_begin; i < row_end; i += kTiledRows) {
    const size_t rows = min(kTiledRows, row_end - i);
    size_t cut_depth = p.k;  // the depth at which the strips in `left` begin
    const auto pass = [&](size_t depth, size_t panel) {
      const size_t slice = min(kTiledDepth, p.k - depth), j = panel * kPanelWidth, columns = min(kPanelWidth, p.n - j);
      if (cut_depth != depth) {
        if (p.a_k_major)
          strips_of(rows, slice, static_cast<const Pair*>(p.a.at) + depth / 2 * p.a_stride + i, p.a_stride, spare, left);
        else
          strips_of(rows, slice, p.a.halves() + i * p.a_stride + depth, p.a_stride, spare, left);
        cut_depth = depth;
      }
      C* block = c + i * p.c_stride + j;
      float* sum = kFull ? (float*)block : waiting;
      const size_t sum_stride = kFull ? p.c_stride : kPanelWidth, width = panel_stride(p.n, panel);
      const bool last = depth + slice == p.k;
      const Out side = p.side ? p.side + (i * p.c_stride + j) : p.side;
      if (side && last) with_types(side, [&](auto* values) { prefetch_block(values, p.c_stride, rows, columns); });
      bool accumulate = p.accumulate || depth > 0;
      if (p.bias && !accumulate) {
        for (size_t row = 0; row < rows; row++) memcpy(sum + row * sum_stride, p.bias + j, columns * sizeof(float));
        accumulate = true;
      }
      tile_panel(rows, slice, left, packed + j * steps_of<Pair>(p.k) + depth / 2 * width, width, sum, sum_stride, columns, accumulate);
      if (!last || (kFull && p.epilogue == Epilogue::none)) return;
      with_types(side, [&](auto* values) { apply_epilogue(p.epilogue, sum, sum_stride, block, values, p.c_stride, rows, columns); });
    };
    if constexpr (kFull) {
      for (size_t depth = 0; depth < p.k; depth += kTiledDepth)
        for (size_t panel = panel_begin; panel < panel_end; panel++) pass(depth, panel);
    } else {
      for (size_t panel = panel_begin; panel < panel_end; panel++)
        for (size_t depth = 0; depth < p.k; depth += kTiledDepth) pass(depth, panel);
    }
  }
}

void product(const ProductArgs& p, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end) {
  if (p.a.type == Type::fp32) return DROPSTREAM_BASE::product(p, row_begin, row_end, panel_begin, panel_end);
  with_types(p.c, [&](auto* c) { product_of(p, c, row_begin, row_end, panel_begin, panel_end); });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
