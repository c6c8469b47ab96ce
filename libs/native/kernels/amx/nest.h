// Products of bf16 matrices in tiles of 16 × 16 sums that are 32 deep. This is the loop nest; it works on a Tiles, which is either the tile
// registers of AMX (tiles.h) or their model in plain C++ (tile-model.h).
//
// A block is 2 × 2 tiles of sums. Per step four loads feed four tile products (8 and 16 cycles each, according to Intel's manual). On an
// Emerald Rapids core the loads are hidden behind the products if two of the four find their lines in L1; if all come from L2, the products
// run at 75 % of their peak. (Operands of random values take a quarter longer than zeros, whose products the core makes at a higher clock.)
// Sums therefore stay in registers for the whole depth of nearly every product, and vector work on the sums of one block (an epilogue,
// rounding) is done between the steps of the next, where it costs nothing until it takes longer than the products.
//
// The right operand is packed in panels of pairs along k, and 16 rows of a panel can be loaded as one tile. The left operand is read in
// place, with its own row stride. Whatever does not fill a tile (the last rows, the last depth) is copied once, for all panels, into tiles
// padded with zeros. The zeros add nothing to the sums, and rows and columns beyond the matrix are never stored. One tile configuration
// therefore serves every shape, and this file never changes it.
#pragma once
#include "kernels/declare.h"
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
constexpr size_t kTileBlock = 2 * kTile;  // rows and columns of a block
// The number of rows of the left operand in one pass over the panels, the depth of a pass, and its depth if all of the operand is copied.
constexpr size_t kTiledRows = 32;
constexpr size_t kTiledDepth = 2048, kCopiedDepth = 512;
constexpr size_t kStrips = kTiledRows / kTile, kPanelStrips = ceil_div(kPanelWidth, kTile);

DS_INLINE size_t tiles_in(size_t n, size_t size) { return (n + size - 1) / size; }

// The tiles of 16 rows of a left operand, or of 16 columns of a right one, along k: `whole` tiles, `step` bytes apart from `at` on. If there
// is one more, it is copied, at `tail`.
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
  // All tiles are copied to `spare`. The last one also counts as the tail, for the other operand may have one there.
  static DS_INLINE Strip copied(const char* spare, size_t steps) { return {spare, 64, kTileBytes, steps, spare + (steps - 1) * kTileBytes}; }
};

// The number of rows or columns of the next block, of `rest`: those of two strips if they are alike, or of one.
DS_INLINE size_t block_size(size_t rest, const Strip* strips) {
  const bool pair = rest > kTile && strips[0].row == strips[1].row && strips[0].step == strips[1].step;
  return min(rest, pair ? kTileBlock : kTile);
}

// Fills one tile from `rows` rows of `bytes` bytes and pads it with zeros. Vectors under a mask: products whose depth is no multiple of 32
// (40, 80, 196 of Swin, ConvNeXt and Mixer) copy the last tile of each strip, and calls of memcpy took half as long as the products did.
DS_INLINE void fill_tile(char* tile, const void* from, size_t stride, size_t rows, size_t bytes) {
#if DROPSTREAM_ISA_avx512
  const __mmask64 present = bytes < 64 ? (__mmask64{1} << bytes) - 1 : ~__mmask64{0};
  for (size_t i = 0; i < kTile; i++) {
    const __mmask64 mask = i < rows ? present : 0;
    _mm512_storeu_si512(tile + i * 64, _mm512_maskz_loadu_epi8(mask, static_cast<const char*>(from) + i * stride));
  }
#else
  memset(tile, 0, kTileBytes);
  for (size_t i = 0; i < min(rows, kTile); i++) memcpy(tile + i * 64, static_cast<const char*>(from) + i * stride, min(bytes, size_t{64}));
#endif
}

// The bytes of `spare` for the strips of a left operand: all of it, or its last rows and the last tile of each other strip.
constexpr size_t kLeftSpare = kTile * kTiledDepth * sizeof(bf16) + kStrips * kTileBytes;
static_assert(kTiledRows * kCopiedDepth <= kTile * kTiledDepth, "an operand that is copied as a whole fits, too");

// Makes the strips of a[rows ≤ kTiledRows][k ≤ kTiledDepth], which is row-major with `stride` elements from row to row.
inline void strips_of(size_t rows, size_t k, const bf16* a, size_t stride, char* spare, Strip* strips) {
  const size_t steps = tiles_in(k, kTileDepth), bytes = stride * sizeof(bf16);
  for (size_t i = 0; i < rows; i += kTile, strips++) {
    const char* at = (const char*)(a + i * stride);
    const bool ragged = rows - i < kTile;
    const size_t whole = ragged ? 0 : k / kTileDepth;
    *strips = ragged ? Strip::copied(spare, steps) : Strip{at, bytes, 64, whole, spare};
    for (size_t step = whole; step < steps; step++, spare += kTileBytes)
      fill_tile(spare, at + step * 64, bytes, rows - i, (k - step * kTileDepth) * sizeof(bf16));
  }
}

// Makes the strips of a k-major operand in pairs, [⌈k/2⌉][stride], k ≤ kCopiedDepth. No program multiplies such an operand, so this is plain.
inline void strips_of(size_t rows, size_t k, const Pair* a, size_t stride, char* spare, Strip* strips) {
  const size_t steps = tiles_in(k, kTileDepth), pairs = steps_of<Pair>(k);
  for (size_t i = 0; i < rows; i += kTile, strips++) {
    *strips = Strip::copied(spare, steps);
    const size_t filled = min(kTile, rows - i);
    for (size_t p = 0; p < pairs; p += kTile, spare += kTileBytes) {
      memset(spare, 0, kTileBytes);
      for (size_t step = 0; step < min(kTile, pairs - p); step++)
        for (size_t row = 0; row < filled; row++) memcpy(spare + row * 64 + step * sizeof(Pair), a + (p + step) * stride + i + row, sizeof(Pair));
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
    const size_t whole = ragged ? 0 : k / kTileDepth;  // as many as on the left, also if the last pair is only half there
    *strips = ragged ? Strip::copied(spare, steps) : Strip{at, bytes, kTile * bytes, whole, spare};
    for (size_t step = whole; step < steps; step++, spare += kTileBytes)
      fill_tile(spare, at + step * kTile * bytes, bytes, pairs - step * kTile, (width - j) * sizeof(Pair));
  }
}

// Where the sums of a block begin or end: rows of `stride` floats. Only the first `rows` rows and `columns` columns exist. A stride of 0
// makes all rows begin with the same values (a bias), which a tile load does at the speed of any other. No place: the sums begin at zero.
struct Place {
  float* at;
  size_t stride, rows, columns;
};

// Tile N (0 … 3) of a block of sums. A partial tile is loaded and stored through a buffer.
template <int N>
struct Sum {
  static constexpr size_t kRow = N / 2 * kTile, kColumn = N % 2 * kTile;

  static DS_INLINE void begin(Tiles& tiles, const Place& from) {
    if (!from.at) return tiles.template zero<N>();
    const float* at = from.at + kRow * from.stride + kColumn;
    const size_t rows = min(kTile, from.rows - kRow), columns = min(kTile, from.columns - kColumn);
    if (rows == kTile && columns == kTile) return tiles.template load<N>(at, from.stride * sizeof(float));
    alignas(64) char edge[kTileBytes];
    fill_tile(edge, at, from.stride * sizeof(float), rows, columns * sizeof(float));
    tiles.template load<N>(edge, 64);
  }
  static DS_INLINE void end(Tiles& tiles, const Place& to) {
    float* at = to.at + kRow * to.stride + kColumn;
    const size_t rows = min(kTile, to.rows - kRow), columns = min(kTile, to.columns - kColumn);
    if (rows == kTile && columns == kTile) return tiles.template store<N>(at, to.stride * sizeof(float));
    alignas(64) char edge[kTileBytes];
    tiles.template store<N>(edge, 64);
    for (size_t i = 0; i < rows; i++)
      for_vectors(columns, [&](size_t j, auto io) { io.put(at + i * to.stride + j, io.get((const float*)(edge + i * 64) + j)); });
  }
};

// One operand of a block: two strips that are alike, or one.
struct StripPair {
  const char* at;
  size_t row, step, gap;  // bytes
  DS_INLINE explicit StripPair(const Strip* strips, size_t count)
      : at(strips[0].at), row(strips[0].row), step(strips[0].step), gap(strips[count - 1].at - at) {}
};

template <int Rows, int Columns>
DS_INLINE void tile_step(Tiles& tiles, const char* a0, const char* a1, size_t a_row, const char* b0, const char* b1, size_t b_row) {
  tiles.template load<6>(b0, b_row);
  tiles.template load<4>(a0, a_row);
  tiles.template multiply<0, 0>();
  if constexpr (Columns == 2) {
    tiles.template load<7>(b1, b_row);
    tiles.template multiply<0, 1>();
  }
  if constexpr (Rows == 2) {
    tiles.template load<5>(a1, a_row);
    tiles.template multiply<1, 0>();
    if constexpr (Columns == 2) tiles.template multiply<1, 1>();
  }
}

// to[rows ≤ 16·Rows, columns ≤ 16·Columns] = from + left · right. Calls meanwhile() at every step. Two strips of an operand are as long and have
// the same steps.
template <int Rows, int Columns, class Meanwhile>
__attribute__((noinline)) void tile_block(size_t steps, const Strip* left, const Strip* right, const Place& from, const Place& to, Meanwhile& meanwhile) {
  Tiles tiles;
  Sum<0>::begin(tiles, from);
  if constexpr (Columns == 2) Sum<1>::begin(tiles, from);
  if constexpr (Rows == 2) Sum<2>::begin(tiles, from);
  if constexpr (Rows == 2 && Columns == 2) Sum<3>::begin(tiles, from);
  StripPair a(left, Rows), b(right, Columns);
  const size_t whole = min(left->whole, right->whole);
  for (size_t step = 0; step < whole; step++, a.at += a.step, b.at += b.step) {
    tile_step<Rows, Columns>(tiles, a.at, a.at + a.gap, a.row, b.at, b.at + b.gap, b.row);
    meanwhile();
  }
  if (whole < steps) {
    tile_step<Rows, Columns>(tiles, left[0].tail, left[Rows - 1].tail, 64, right[0].tail, right[Columns - 1].tail, 64);
    meanwhile();
  }
  Sum<0>::end(tiles, to);
  if constexpr (Columns == 2) Sum<1>::end(tiles, to);
  if constexpr (Rows == 2) Sum<2>::end(tiles, to);
  if constexpr (Rows == 2 && Columns == 2) Sum<3>::end(tiles, to);
}

// The same for a block of `rows` × `columns` sums.
template <class Meanwhile>
DS_INLINE void multiply_block(size_t rows, size_t columns, size_t steps, const Strip* left, const Strip* right, const Place& from, const Place& to,
                              Meanwhile& meanwhile) {
  const bool tall = rows > kTile, wide = columns > kTile;
  const auto block = tall ? wide ? tile_block<2, 2, Meanwhile> : tile_block<2, 1, Meanwhile> : wide ? tile_block<1, 2, Meanwhile> : tile_block<1, 1, Meanwhile>;
  block(steps, left, right, from, to, meanwhile);
}

struct Nothing {
  DS_INLINE void operator()() {}
};

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
