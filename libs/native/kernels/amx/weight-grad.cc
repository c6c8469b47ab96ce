// weight (+)= dyᵀ · x and bias += column sums of dy for bf16, in tiles; fp32 operands go to the vector kernel.
//
// Neither operand has the order of tiles, and to rearrange both takes vectors half as long as the products at a width of 192. So nothing is
// rearranged beforehand, which would go through memory; instead, a job rearranges one slice of its rows of weight and of its columns (half a
// megabyte with the slice in use, which stays in L2) while the tiles of the slice before are multiplied, a small piece for each step.
#include "kernels/amx/grad-slice.h"

namespace dropstream {
namespace DROPSTREAM_BASE {
void weight_grad(const WeightGradArgs&, size_t m_begin, size_t m_end, size_t panel_begin, size_t panel_end, float* scratch);
}
namespace DROPSTREAM_ISA {

// sums[rows] += the sums of the strips' rows. Tile products with ones cost a sixteenth of what sums in vectors do. Four chains (two strips,
// even and odd steps) hide the latency of a product.
static void add_rows(size_t rows, size_t steps, const Strip* left, float* sums) {
  alignas(64) bf16 ones[kTileBytes / sizeof(bf16)];
  for (bf16& one : ones) one.bits = 0x3f80;
  alignas(64) float total[4][kTile][kTile];
  Tiles tiles;
  tiles.template load<6>(ones, 64);
  tiles.template load<7>(ones, 64);
  for (size_t i = 0; i < rows; i += kTileBlock, left += 2) {
    tiles.template zero<0>();
    tiles.template zero<1>();
    tiles.template zero<2>();
    tiles.template zero<3>();
    for (size_t step = 0; step < steps; step++) {
      left[0].template load<4>(tiles, step);
      left[1].template load<5>(tiles, step);
      if (step % 2) {
        tiles.template multiply<0, 1>();
        tiles.template multiply<1, 1>();
      } else {
        tiles.template multiply<0, 0>();
        tiles.template multiply<1, 0>();
      }
    }
    tiles.template store<0>(total[0], 64);
    tiles.template store<1>(total[1], 64);
    tiles.template store<2>(total[2], 64);
    tiles.template store<3>(total[3], 64);
    for (size_t row = 0; row < min(kTileBlock, rows - i); row++) {
      const size_t tile = row / kTile * 2, line = row % kTile;
      sums[i + row] += total[tile][line][0] + total[tile + 1][line][0];
    }
  }
}

// The gradient of rows [m, m + rows) and columns [n, n + columns).
static void area_of(const WeightGradArgs& p, size_t m, size_t rows, size_t n, size_t columns, float* scratch) {
  // Slices of about the same depth: the sums are loaded and stored for each.
  const size_t depth = round_up(ceil_div(p.r, ceil_div(p.r, kSliceDepth)), kTileDepth);
  Slice slices[2] = {{p.dy.halves() + m, p.m, rows, p.x.halves() + n, p.n, columns, scratch},
                     {p.dy.halves() + m, p.m, rows, p.x.halves() + n, p.n, columns, scratch + kSliceFloats}};
  slices[0].begin(0, min(depth, p.r), 1);
  slices[0].finish();
  const size_t blocks = ceil_div(rows, kTileBlock) * ceil_div(columns, kTileBlock);
  for (size_t r = 0, turn = 0; r < p.r; r += depth, turn ^= 1) {
    const Slice& slice = slices[turn];
    Slice& next = slices[turn ^ 1];
    next.begin(min(p.r, r + depth), min(depth, p.r - min(p.r, r + depth)), blocks * slice.steps());
    if (p.bias && n == 0) add_rows(rows, slice.steps(), slice.left(0), p.bias + m);
    for (size_t j = 0; j < columns; j += kTileBlock)
      for (size_t i = 0; i < rows; i += kTileBlock) {
        const Place to{p.weight + (m + i) * p.n + n + j, p.n, min(kTileBlock, rows - i), min(kTileBlock, columns - j)};
        const Place from = p.accumulate || r > 0 ? to : Place{};
        multiply_block(to.rows, to.columns, slice.steps(), slice.left(i), slice.right(j), from, to, next);
      }
    next.finish();
  }
}

void weight_grad(const WeightGradArgs& p, size_t m_begin, size_t m_end, size_t panel_begin, size_t panel_end, float* scratch) {
  if (p.dy_packed) return DROPSTREAM_BASE::weight_grad(p, m_begin, m_end, panel_begin, panel_end, scratch);
  if (p.dy.type == Type::fp32) {
    for (size_t m = m_begin; m < m_end; m += kRowBlock) DROPSTREAM_BASE::weight_grad(p, m, min(m_end, m + kRowBlock), panel_begin, panel_end, scratch);
    return;
  }
  const size_t n_begin = panel_begin * kPanelWidth, n_end = min(p.n, panel_end * kPanelWidth);
  for (size_t m = m_begin; m < m_end; m += kSliceRows)
    for (size_t n = n_begin; n < n_end; n += kSliceColumns) area_of(p, m, min(kSliceRows, m_end - m), n, min(kSliceColumns, n_end - n), scratch);
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
