// weight[m, n] (+)= dyᵀ · x and bias += column sums of dy: the gradient of a linear layer's parameters over one chunk.
//
// The sum over the chunk's rows is computed in slices of 256 rows. A slice of dy's columns is copied into contiguous memory, so that six
// broadcasts read one cache line and the slice is 48 KiB for the TLB instead of 256 distant rows; bf16 is packed two rows per word. Then it
// is multiplied by every panel of x. One job owns its tile of the result, so nothing is shared and rows are summed in order.
//
// The narrower operand should be packed once for all jobs, because that copy goes through memory: for ViT-T's 768 → 192, packing x
// beforehand took 85 of 590 µs on two cores. If dy is packed beforehand, each job packs slices of x, one panel wide, which stay in L1 and
// L2 while all blocks of dy are used.
#include "kernels/micro/tile.h"
#include "kernels/pack/column-sums.h"
#include "kernels/pack/pairs.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

template <class T>
static void weight_grad_of(const WeightGradArgs& p, const T* dy, size_t m_begin, size_t m_end, size_t panel_begin, size_t panel_end, float* scratch) {
  typedef typename WordOf<T>::type Word;
  const Word* x = static_cast<const Word*>(p.x_packed.at);
  Word* left = (Word*)scratch;
  const size_t rows = m_end - m_begin;
  for (size_t r = 0; r < p.r; r += kWeightGradSlice) {
    const size_t slice = min(kWeightGradSlice, p.r - r);
    pack_block(slice, rows, dy + r * p.m + m_begin, p.m, left, kRowBlock);
    if (p.bias && panel_begin == 0) add_columns(steps_of<Word>(slice), rows, left, kRowBlock, p.bias + m_begin);
    for (size_t panel = panel_begin; panel < panel_end; panel++) {
      const size_t j = panel * kPanelWidth, columns = min(kPanelWidth, p.n - j);
      panel_product<true>(rows, slice, left, kRowBlock, x + j * steps_of<Word>(p.r) + steps_of<Word>(r) * panel_stride(p.n, panel),
                          p.weight + m_begin * p.n + j, p.n, columns, p.accumulate || r > 0, nullptr);
    }
  }
}

template <class T>
static void weight_grad_by_panels(const WeightGradArgs& p, const T* x, size_t m_begin, size_t m_end, size_t panel_begin, size_t panel_end, float* scratch) {
  typedef typename WordOf<T>::type Word;
  const Word* dy = static_cast<const Word*>(p.dy_packed.at);
  Word* right = (Word*)scratch;
  for (size_t panel = panel_begin; panel < panel_end; panel++) {
    const size_t j = panel * kPanelWidth, columns = min(kPanelWidth, p.n - j);
    for (size_t r = 0; r < p.r; r += kWeightGradSlice) {
      const size_t slice = min(kWeightGradSlice, p.r - r);
      pack_block(slice, columns, x + r * p.n + j, p.n, right, panel_stride(p.n, panel));
      for (size_t m = m_begin; m < m_end; m += kRowBlock) {
        const size_t rows = min(kRowBlock, m_end - m);
        const Word* left = dy + m * steps_of<Word>(p.r) + steps_of<Word>(r) * kRowBlock;
        if (p.bias && panel == 0) add_columns(steps_of<Word>(slice), rows, left, kRowBlock, p.bias + m);
        panel_product<true>(rows, slice, left, kRowBlock, right, p.weight + m * p.n + j, p.n, columns, p.accumulate || r > 0, nullptr);
      }
    }
  }
}

void weight_grad(const WeightGradArgs& p, size_t m_begin, size_t m_end, size_t panel_begin, size_t panel_end, float* scratch) {
  if (p.dy_packed)
    with_types(p.x, [&](auto* x) { weight_grad_by_panels(p, x, m_begin, m_end, panel_begin, panel_end, scratch); });
  else
    with_types(p.dy, [&](auto* dy) { weight_grad_of(p, dy, m_begin, m_end, panel_begin, panel_end, scratch); });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
