// weight[m, n] (+)= dyᵀ · x and bias += column sums of dy: the gradient of a linear layer's parameters over one chunk.
//
// The sum runs over the chunk's rows, in slices of 256: a slice of dy's columns is copied next to each other (so that six broadcasts come
// from one cache line, and the TLB sees 48 KiB instead of 256 rows apart; bf16 two rows to a word), then every panel of x passes over it.
// One job owns its tile of the result: nothing is shared, rows are summed in order.
//
// Whichever side is narrower is best packed for all jobs, as that goes through memory: for ViT-T's 768 → 192, x first took 85 of 590 µs on two
// cores. The other way a slice of x, one panel wide, is packed by its job and stays in L1/L2 while all blocks of dy pass over it.
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
