// weight (+)= dyᵀ · x and bias += column sums of dy for bf16, in tiles; fp32 operands go to the vector kernel.
//
// Neither operand has the order of tiles, and to rearrange both takes vectors half as long as the products at a width of 192. So nothing is
// rearranged beforehand, which would go through memory; instead, a job rearranges one strip of 32 columns while the tiles of others are
// multiplied, a small piece for each step. Sums stay in the tiles for up to kGradDepth rows: to load and store a block of them takes as long
// as ten steps of products do.
#include "kernels/amx/grad-strips.h"

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

// What is done between the steps of a block: rearranging another strip, and asking for the lines of the next block of sums, which are in L2.
struct Beside {
  GradStrip strip;
  char* at = nullptr;
  size_t stride = 0, rows = 0, share = 0;

  void next_block(const Place& place, size_t steps) {
    at = (char*)place.at;
    stride = place.stride * sizeof(float);
    rows = place.rows;
    share = ceil_div(kTileBlock, steps);
  }
  DS_INLINE void operator()() {
    for (size_t row = min(share, rows); row; row--, rows--, at += stride) {
      __builtin_prefetch(at, 1);
      __builtin_prefetch(at + 64, 1);
    }
    strip();
  }
};

// The gradient of rows [m, m + rows) and columns [n, n + columns) over rows [r, r + depth) of the operands. Strips of the narrower operand
// stay in L2, and those of the other one pass by.
static void area_of(const WeightGradArgs& p, bool left_stays, size_t m, size_t rows, size_t n, size_t columns, size_t r, size_t depth, char* memory) {
  const GradOperand dy{p.dy.halves() + m, p.m, rows, true}, x{p.x.halves() + n, p.n, columns, false};
  const GradOperand &stays = left_stays ? dy : x, &passes = left_stays ? x : dy;
  char* const passing[2] = {memory, memory + kStripBytes};
  const auto staying = [&](size_t strip) { return memory + (2 + strip) * kStripBytes; };
  const size_t steps = tiles_in(depth, kTileDepth);
  const auto place_of = [&](size_t pass, size_t stay) {
    const size_t i = (left_stays ? stay : pass) * kTileBlock, j = (left_stays ? pass : stay) * kTileBlock;
    return Place{p.weight + (m + i) * p.n + n + j, p.n, min(kTileBlock, rows - i), min(kTileBlock, columns - j)};
  };
  Beside beside;
  beside.strip.begin(passes, 0, r, depth, p.r, passing[0], 1);
  beside.strip.finish();
  beside.strip.begin(stays, 0, r, depth, p.r, staying(0), 1);
  for (size_t pass = 0; pass < passes.strips(); pass++)
    for (size_t stay = 0; stay < stays.strips(); stay++) {
      // During the first pass, the other staying strips are made one by one.
      const bool first = pass == 0, last = stay + 1 == stays.strips();
      if (first || stay == 0) beside.strip.finish();
      if (first && !last)
        beside.strip.begin(stays, stay + 1, r, depth, p.r, staying(stay + 1), steps);
      else if ((first || stay == 0) && pass + 1 < passes.strips())
        beside.strip.begin(passes, pass + 1, r, depth, p.r, passing[(pass + 1) % 2], first ? steps : steps * stays.strips());
      char *const left = left_stays ? staying(stay) : passing[pass % 2], *const right = left_stays ? passing[pass % 2] : staying(stay);
      const Strip left_strips[2] = {{left, 64, 2 * kTileBytes, steps, left}, {left + kTileBytes, 64, 2 * kTileBytes, steps, left}};
      const Strip right_strips[2] = {{right, 128, 2 * kTileBytes, steps, right}, {right + 64, 128, 2 * kTileBytes, steps, right}};
      const Place to = place_of(pass, stay), from = p.accumulate || r > 0 ? to : Place{};
      beside.next_block(!last ? place_of(pass, stay + 1) : pass + 1 < passes.strips() ? place_of(pass + 1, 0) : Place{}, steps);
      if (p.bias && n == 0 && (left_stays ? pass : stay) == 0) add_rows(to.rows, steps, left_strips, p.bias + (to.at - p.weight) / p.n);
      multiply_block(to.rows, to.columns, steps, left_strips, right_strips, from, to, beside);
    }
}

void weight_grad(const WeightGradArgs& p, size_t m_begin, size_t m_end, size_t panel_begin, size_t panel_end, float* scratch) {
  if (p.dy_packed) return DROPSTREAM_BASE::weight_grad(p, m_begin, m_end, panel_begin, panel_end, scratch);
  if (p.dy.type == Type::fp32) {
    for (size_t m = m_begin; m < m_end; m += kRowBlock) DROPSTREAM_BASE::weight_grad(p, m, min(m_end, m + kRowBlock), panel_begin, panel_end, scratch);
    return;
  }
  const size_t n_begin = panel_begin * kPanelWidth, n_end = min(p.n, panel_end * kPanelWidth);
  // Passes over the sums of about the same depth.
  const size_t depth = round_up(ceil_div(p.r, ceil_div(p.r, kGradDepth)), kTileDepth);
  const bool left_stays = m_end - m_begin < n_end - n_begin;
  const size_t high = left_stays ? kStayingColumns : m_end - m_begin, wide = left_stays ? n_end - n_begin : kStayingColumns;
  for (size_t m = m_begin; m < m_end; m += high)
    for (size_t n = n_begin; n < n_end; n += wide)
      for (size_t r = 0; r < p.r; r += depth) area_of(p, left_stays, m, min(high, m_end - m), n, min(wide, n_end - n), r, min(depth, p.r - r), (char*)scratch);
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
