// Products of bf16 matrices in tiles of 16 × 16 sums that are 32 deep. This is the loop nest; it works on a Tiles, which is either the tile
// registers of AMX (tiles.h) or their model in plain C++ (tile-model.h).
//
// A block is 2 × 2 tiles of sums. Per step four loads feed four tile products (8 and 16 cycles each, according to Intel's manual), so that
// the loads, which come from L1 and L2, are hidden behind the products. The right operand is packed in panels of pairs along k, and 16 rows
// of a panel can be loaded as one tile. The left operand is read in place, with its own row stride. Whatever does not fill a tile (the last
// rows, the last depth, a k-major operand) is copied once, for all panels, into tiles padded with zeros. The zeros add nothing to the sums,
// and rows and columns beyond the matrix are never stored. One tile configuration therefore serves every shape, and this file never changes
// it.
#pragma once
#include "kernels/layout/interleave.h"
#if DROPSTREAM_TILES_MODEL
#include "kernels/amx/tile-model.h"
#else
#include "kernels/amx/tiles.h"
#endif

namespace dropstream {
namespace DROPSTREAM_ISA {

constexpr size_t kTile = 16;  // rows of a tile, and words of one of its rows
constexpr size_t kTileBytes = 64 * kTile;
constexpr size_t kTileDepth = 32;
// The number of rows of the left operand in one pass over the panels, and the depth of a pass.
constexpr size_t kTiledRows = 64;
constexpr size_t kTiledDepth = 512;
constexpr size_t kStrips = kTiledRows / kTile, kPanelStrips = ceil_div(kPanelWidth, kTile);

DS_INLINE size_t tiles_in(size_t n, size_t size) { return (n + size - 1) / size; }

// The tiles of 16 rows of a left operand, or of 16 columns of a right one, along k: `whole` tiles in place, `step` bytes apart from `at`
// on, and then copied tiles from `tail` on.
struct Strip {
  const char* at;
  size_t row, step;  // bytes
  size_t whole;
  const char* tail;

  template <int N>
  DS_INLINE void load(Tiles& tiles, size_t step_index) const {
    if (step_index < whole)
      tiles.template load<N>(at + step_index * step, row);
    else
      tiles.template load<N>(tail, 64);
  }
};

// Fills one tile from `rows` rows of `bytes` bytes and pads it with zeros.
DS_INLINE void fill_tile(char* tile, const void* from, size_t stride, size_t rows, size_t bytes) {
  memset(tile, 0, kTileBytes);
  for (size_t i = 0; i < min(rows, kTile); i++) memcpy(tile + i * 64, static_cast<const char*>(from) + i * stride, min(bytes, size_t{64}));
}

// Makes the strips of a[rows ≤ kTiledRows][k ≤ kTiledDepth], which is row-major with `stride` elements from row to row. `spare` must have
// room for all of it in tiles.
inline void strips_of(size_t rows, size_t k, const bf16* a, size_t stride, char* spare, Strip* strips) {
  const size_t steps = tiles_in(k, kTileDepth), bytes = stride * sizeof(bf16);
  for (size_t i = 0; i < rows; i += kTile, strips++, spare += steps * kTileBytes) {
    const char* at = (const char*)(a + i * stride);
    const bool ragged = rows - i < kTile;
    for (size_t step = ragged ? 0 : k / kTileDepth; step < steps; step++)
      fill_tile(spare + step * kTileBytes, at + step * 64, bytes, rows - i, (k - step * kTileDepth) * sizeof(bf16));
    *strips = ragged ? Strip{spare, 64, kTileBytes, steps, spare} : Strip{at, bytes, 64, k / kTileDepth, spare + (steps - 1) * kTileBytes};
  }
}

// Makes the strips of a k-major operand in pairs, [⌈k/2⌉][stride], by transposing 16 × 16 words at a time. On 512-bit vectors this takes 64
// shuffles per tile, and the tile then enters four products (64 cycles) per panel. So it pays even for one panel, which would otherwise
// take 256 vdpbf16ps.
inline void strips_of(size_t rows, size_t k, const Pair* a, size_t stride, char* spare, Strip* strips) {
  const size_t steps = tiles_in(k, kTileDepth), pairs = steps_of<Pair>(k);
  for (size_t i = 0; i < rows; i += kTile, strips++) {
    *strips = {spare, 64, kTileBytes, steps, spare};
    const size_t filled = min(kTile, rows - i);
    for (size_t p = 0; p < pairs; p += kTile, spare += kTileBytes) {
      const size_t deep = min(kTile, pairs - p);
      if constexpr (kLanes == kTile) {
        Vec square[kLanes];
#pragma GCC unroll 16
        for (size_t step = 0; step < kLanes; step++) {
          const float* words = (const float*)(a + (p + step) * stride + i);
          square[step] = step >= deep ? splat(0) : filled < kLanes ? load_part(words, filled) : load(words);
        }
        transpose_lanes(square);
#pragma GCC unroll 16
        for (size_t row = 0; row < kLanes; row++) store((float*)(spare + row * 64), square[row]);
      } else {
        memset(spare, 0, kTileBytes);
        for (size_t step = 0; step < deep; step++)
          for (size_t row = 0; row < filled; row++) memcpy(spare + row * 64 + step * sizeof(Pair), a + (p + step) * stride + i + row, sizeof(Pair));
      }
    }
  }
}

// The bytes of `spare` that one panel of a right operand needs: for the last tile of each strip, or for all tiles if the width of a panel
// is not a multiple of a tile's.
constexpr size_t kRightSpare = kPanelStrips * kTileBytes * (kLanes % kTile ? kTiledDepth / kTileDepth : 1);

// Makes the strips of panel[⌈k/2⌉][width].
DS_INLINE void right_strips(size_t k, const Pair* panel, size_t width, char* spare, Strip* strips) {
  const size_t pairs = steps_of<Pair>(k), steps = tiles_in(pairs, kTile), bytes = width * sizeof(Pair);
  for (size_t j = 0; j < width; j += kTile, strips++) {
    const char* at = (const char*)(panel + j);
    const bool ragged = width - j < kTile;
    const size_t whole = ragged ? 0 : pairs / kTile;
    *strips = ragged ? Strip{spare, 64, kTileBytes, steps, spare} : Strip{at, bytes, kTile * bytes, whole, spare};
    for (size_t step = whole; step < steps; step++, spare += kTileBytes)
      fill_tile(spare, at + step * kTile * bytes, bytes, pairs - step * kTile, (width - j) * sizeof(Pair));
  }
}

// Tile N (0 … 3) of a block of sums: its position, and how many of its rows and columns lie inside the matrix. A partial tile is loaded and
// stored through a buffer.
template <int N>
struct Sum {
  static constexpr size_t kRow = N / 2 * kTile, kColumn = N % 2 * kTile;
  size_t rows, columns;
  DS_INLINE Sum(size_t all_rows, size_t all_columns) : rows(min(kTile, all_rows - kRow)), columns(min(kTile, all_columns - kColumn)) {}
  DS_INLINE bool whole() const { return rows == kTile && columns == kTile; }

  DS_INLINE void begin(Tiles& tiles, const float* c, size_t stride, bool accumulate) const {
    const float* at = c + kRow * stride + kColumn;
    if (!accumulate) return tiles.template zero<N>();
    if (whole()) return tiles.template load<N>(at, stride * sizeof(float));
    alignas(64) char edge[kTileBytes];
    fill_tile(edge, at, stride * sizeof(float), rows, columns * sizeof(float));
    tiles.template load<N>(edge, 64);
  }
  DS_INLINE void end(Tiles& tiles, float* c, size_t stride) const {
    float* at = c + kRow * stride + kColumn;
    if (whole()) return tiles.template store<N>(at, stride * sizeof(float));
    alignas(64) char edge[kTileBytes];
    tiles.template store<N>(edge, 64);
    for (size_t i = 0; i < rows; i++) memcpy(at + i * stride, edge + i * 64, columns * sizeof(float));
  }
};

// c[rows ≤ 16·Rows, columns ≤ 16·Columns] (+)= left · right.
template <int Rows, int Columns>
__attribute__((noinline)) void tile_block(size_t steps, const Strip* left, const Strip* right, float* c, size_t stride, size_t rows, size_t columns,
                                          bool accumulate) {
  Tiles tiles;
  Sum<0>(rows, columns).begin(tiles, c, stride, accumulate);
  if constexpr (Columns == 2) Sum<1>(rows, columns).begin(tiles, c, stride, accumulate);
  if constexpr (Rows == 2) Sum<2>(rows, columns).begin(tiles, c, stride, accumulate);
  if constexpr (Rows == 2 && Columns == 2) Sum<3>(rows, columns).begin(tiles, c, stride, accumulate);
  for (size_t step = 0; step < steps; step++) {
    right[0].load<6>(tiles, step);
    left[0].load<4>(tiles, step);
    tiles.template multiply<0, 0>();
    if constexpr (Columns == 2) {
      right[1].load<7>(tiles, step);
      tiles.template multiply<0, 1>();
    }
    if constexpr (Rows == 2) {
      left[1].load<5>(tiles, step);
      tiles.template multiply<1, 0>();
      if constexpr (Columns == 2) tiles.template multiply<1, 1>();
    }
  }
  Sum<0>(rows, columns).end(tiles, c, stride);
  if constexpr (Columns == 2) Sum<1>(rows, columns).end(tiles, c, stride);
  if constexpr (Rows == 2) Sum<2>(rows, columns).end(tiles, c, stride);
  if constexpr (Rows == 2 && Columns == 2) Sum<3>(rows, columns).end(tiles, c, stride);
}

// c[rows, columns] (+)= left · panel: all strips of the left operand times a slice of one panel that is k deep.
inline void tile_panel(size_t rows, size_t k, const Strip* left, const Pair* panel, size_t width, float* c, size_t stride, size_t columns, bool accumulate) {
  alignas(64) char spare[kRightSpare];
  Strip right[kPanelStrips];
  right_strips(k, panel, width, spare, right);
  const size_t steps = tiles_in(k, kTileDepth);
  for (size_t j = 0; j < columns; j += 2 * kTile)
    for (size_t i = 0; i < rows; i += 2 * kTile) {
      const bool tall = rows - i > kTile, wide = columns - j > kTile;
      const auto block = tall ? wide ? tile_block<2, 2> : tile_block<2, 1> : wide ? tile_block<1, 2> : tile_block<1, 1>;
      block(steps, left + i / kTile, right + j / kTile, c + i * stride + j, stride, min(2 * kTile, rows - i), min(2 * kTile, columns - j), accumulate);
    }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
