// weight (+)= dyᵀ · x and bias += column sums of dy for bf16, in tiles; fp32 operands go to the vector kernel. A slice of dy's columns is
// copied into pairs along the rows, as for the vector kernel, and added to the bias. It is then rearranged into tiles, which are multiplied
// by every panel of x.
#include "kernels/amx/nest.h"
#include "kernels/pack/column-sums.h"
#include "kernels/pack/pairs.h"

namespace dropstream {
namespace DROPSTREAM_BASE {
void weight_grad(const WeightGradArgs&, size_t m_begin, size_t m_end, size_t panel_begin, size_t panel_end, float* scratch);
}
namespace DROPSTREAM_ISA {

void weight_grad(const WeightGradArgs& p, size_t m_begin, size_t m_end, size_t panel_begin, size_t panel_end, float* scratch) {
  if (p.dy.type == Type::fp32) {
    for (size_t m = m_begin; m < m_end; m += kRowBlock) DROPSTREAM_BASE::weight_grad(p, m, min(m_end, m + kRowBlock), panel_begin, panel_end, scratch);
    return;
  }
  const Pair* x = static_cast<const Pair*>(p.x_packed.at);
  // The pairs and the tiles of a slice share weight_grad_scratch.
  Pair* pairs = (Pair*)scratch;
  char* tiles = (char*)(scratch + kWeightGradSlice / 2 * kTiledRows);
  const size_t rows = m_end - m_begin;
  Strip left[kStrips];
  for (size_t r = 0; r < p.r; r += kWeightGradSlice) {
    const size_t slice = min(kWeightGradSlice, p.r - r);
    pack_block(slice, rows, p.dy.halves() + r * p.m + m_begin, p.m, pairs, kTiledRows);
    if (p.bias && panel_begin == 0) add_columns(steps_of<Pair>(slice), rows, pairs, kTiledRows, p.bias + m_begin);
    strips_of(rows, slice, pairs, kTiledRows, tiles, left);
    for (size_t panel = panel_begin; panel < panel_end; panel++) {
      const size_t j = panel * kPanelWidth, width = panel_stride(p.n, panel);
      tile_panel(rows, slice, left, x + j * steps_of<Pair>(p.r) + r / 2 * width, width, p.weight + m_begin * p.n + j, p.n, min(kPanelWidth, p.n - j),
                 p.accumulate || r > 0);
    }
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
