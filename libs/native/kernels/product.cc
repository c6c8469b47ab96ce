// c = a · b (+ bias, + epilogue) with b packed: the loop nest of every linear layer (y = x·Wᵀ, dx = dy·W) and of attention.
//
// Rows are processed in blocks of 48, which stay in L1 and L2 while all panels of b are used. The depth is cut into slices if c can hold
// the partial sums in between; storing and reloading fp32 does not change them, so blocking does not change the bits. A block that becomes
// bf16 and has an epilogue is kept in L1 as fp32 until then. Without an epilogue the tile rounds when it stores.
#include "kernels/epilogue/epilogue.h"
#include "kernels/micro/tile.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

template <class T, class C>
static void product_of(const ProductArgs& p, const T* a, C* c, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end) {
  typedef typename WordOf<T>::type Word;
  constexpr bool kFull = sizeof(C) == sizeof(float), kRounds = !kFull && sizeof(T) == sizeof(C);
  alignas(64) float waiting[kFull ? 1 : kRowBlock * kPanelWidth];
  const bool in_place = kFull || (kRounds && p.epilogue == Epilogue::none && !p.a_k_major);
  const size_t depth_block = kFull ? kDepthBlock<T> : p.k;
  const Word* packed = static_cast<const Word*>(p.b.at);
  for (size_t i = row_begin; i < row_end; i += kRowBlock) {
    const size_t rows = min(kRowBlock, row_end - i);
    for (size_t depth = 0; depth < p.k; depth += depth_block) {
      const size_t slice = min(depth_block, p.k - depth), step = steps_of<Word>(depth);
      const bool accumulate = p.accumulate || depth > 0, last = depth + slice == p.k;
      for (size_t panel = panel_begin; panel < panel_end; panel++) {
        const size_t j = panel * kPanelWidth, columns = min(kPanelWidth, p.n - j);
        const Word* b = packed + j * steps_of<Word>(p.k) + step * panel_stride(p.n, panel);
        C* block = c + i * p.c_stride + j;
        const float* bias = p.bias ? p.bias + j : nullptr;
        float* sum = kFull ? (float*)block : waiting;
        const size_t sum_stride = kFull ? p.c_stride : kPanelWidth;
        const Out side = p.side ? p.side + (i * p.c_stride + j) : p.side;
        if (side && last) with_types(side, [&](auto* values) { prefetch_block(values, p.c_stride, rows, columns); });
        if (p.a_k_major)
          panel_product<true>(rows, slice, (const Word*)a + step * p.a_stride + i, p.a_stride, b, sum, sum_stride, columns, accumulate, bias);
        else if (kFull || !in_place)
          panel_product<false>(rows, slice, a + i * p.a_stride + depth, p.a_stride, b, sum, sum_stride, columns, accumulate, bias);
        else if constexpr (kRounds)
          panel_product<false>(rows, slice, a + i * p.a_stride + depth, p.a_stride, b, block, p.c_stride, columns, accumulate, bias);
        if (!last || (in_place && p.epilogue == Epilogue::none)) continue;
        with_types(side, [&](auto* values) { apply_epilogue(p.epilogue, sum, sum_stride, block, values, p.c_stride, rows, columns); });
      }
    }
  }
}

void product(const ProductArgs& p, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end) {
  with_types(p.a, p.c, [&](auto* a, auto* c) { product_of(p, a, c, row_begin, row_end, panel_begin, panel_end); });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
