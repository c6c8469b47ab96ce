// Attention in tiles: what the whole and the window kernels share.
//
// A head is processed in blocks of 32 queries, and its scores are computed transposed, Sᵀ = K·Qᵀ, so that lanes are queries. Maxima, sums, lse
// and D then belong to lanes, and no vector is ever reduced. Probabilities rounded to bf16 are rows of 32 queries, which is a row of a left
// operand (for dv and dk, which sum over queries) as it is, and two rows interleaved make a row of a right operand (for out and dq, which sum
// over keys). Those two products give transposed results, and bf16 pairs of them are transposed once, when they are stored.
//
// One core of a Xeon (Emerald Rapids) takes 25 µs for a head of 197 × 64 and 48 µs for its gradient, where vdpbf16ps takes 127 and 308; a window's
// head of 49 × 32 takes 2.8 and 5.7 µs instead of 6.0 and 14.5. These are the best of many calls while the machine had other work. In a variant
// that stored sums of tiles only after vectors had worked on the block before, to overlap both, the passes took the same time, and 19 and 33 µs
// without its products. So most of the time is outside of products: vectors, copies into tiles, stores of tiles, and reading q, k and v.
//
// All operands of products are copied into tiles padded with zeros first: a head of 197 × 64 takes 26 KiB per operand. No product sees an edge,
// and the tiles of a product follow each other in memory.
#pragma once
#include "kernels/attention/head.h"
#include "kernels/layout/interleave.h"
#include "kernels/pack/transposed.h"
#if DROPSTREAM_TILES_MODEL
#include "kernels/amx/tile-model.h"
#else
#include "kernels/amx/tiles.h"
#endif

namespace dropstream {
namespace DROPSTREAM_ISA {

constexpr size_t kSide = 16;                 // rows of a tile, and words of a row
constexpr size_t kCell = 64 * kSide;         // bytes of a tile
constexpr size_t kBlock = 2 * kSide;         // queries, keys or channels of a block; the depth of a tile of bf16
constexpr size_t kAcross = kBlock / kLanes;  // vectors of a row of a block

// The bytes of an operand of `rows` that are `depth` deep, in tiles. Operands are padded to whole blocks.
DS_INLINE size_t cells_of(size_t rows, size_t depth) { return round_up(rows, kBlock) / kSide * ceil_div(depth, kBlock) * kCell; }

// Squares are worked on in registers where a row is a vector. Elsewhere, which is the model on other vectors, short code matters more.
#if DROPSTREAM_ISA_avx512
#define DS_SQUARE _Pragma("GCC unroll 16")
#else
#define DS_SQUARE
#endif

// 32 values as bf16, which are a row of a tile.
#if DROPSTREAM_ISA_avx512_bf16
typedef __m512i Halves;
DS_INLINE Halves no_halves() { return _mm512_setzero_si512(); }
DS_INLINE Halves load_halves(const bf16* from, size_t count) {
  if (count >= kBlock) return _mm512_loadu_si512(from);
  return _mm512_maskz_loadu_epi16((__mmask32)((1u << count) - 1u), from);
}
DS_INLINE Halves round_halves(const Vec (&v)[kAcross]) { return (Halves)_mm512_cvtne2ps_pbh((__m512)v[1], (__m512)v[0]); }
DS_INLINE void store_halves(char* to, Halves row) { _mm512_storeu_si512(to, row); }
// The words (first[i], second[i]) of 32 columns, in two rows of 16 words. The shuffle works inside of 128 bits, so word w of row r belongs to
// column column_of(r, w).
DS_INLINE void store_pairs(char* to, char* to_next, Halves first, Halves second) {
  _mm512_storeu_si512(to, _mm512_unpacklo_epi16(first, second));
  _mm512_storeu_si512(to_next, _mm512_unpackhi_epi16(first, second));
}
DS_INLINE constexpr size_t column_of(size_t row, size_t word) { return word / 4 * 8 + row * 4 + word % 4; }
DS_INLINE void store_pairs_in_order(char* to, char* to_next, Halves first, Halves second) {
  const Halves low = _mm512_unpacklo_epi16(first, second), high = _mm512_unpackhi_epi16(first, second);
  _mm512_storeu_si512(to, _mm512_permutex2var_epi64(low, _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0), high));
  _mm512_storeu_si512(to_next, _mm512_permutex2var_epi64(low, _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4), high));
}
// Exchanges rows and words of a square of 16 rows of 16 words.
typedef Vec Square[kSide];
DS_INLINE void set_row(Square& square, size_t row, Halves halves) { square[row] = (Vec)halves; }
DS_INLINE Halves row_of(const Square& square, size_t row) { return (Halves)square[row]; }
DS_INLINE void set_pairs(Square& low, Square& high, size_t row, Halves first, Halves second) {
  low[row] = (Vec)_mm512_unpacklo_epi16(first, second);
  high[row] = (Vec)_mm512_unpackhi_epi16(first, second);
}
DS_INLINE void exchange(Square& square) { transpose_lanes(square); }
// Rounds two rows of 16 values and makes a row of words (first[i], second[i]) of them.
DS_INLINE void set_rounded(Square& square, size_t row, const Vec* first, const Vec* second) { square[row] = pair_up<float>(first[0], second[0]); }
DS_INLINE void put_halves(bf16* to, Halves row, size_t count) {
  if (count >= kBlock) return _mm512_storeu_si512(to, row);
  _mm512_mask_storeu_epi16(to, (__mmask32)((1u << count) - 1u), row);
}
#else
struct Halves {
  bf16 at[kBlock];
};
DS_INLINE Halves no_halves() { return {}; }
DS_INLINE Halves load_halves(const bf16* from, size_t count) {
  Halves row{};
  memcpy(row.at, from, min(count, kBlock) * sizeof(bf16));
  return row;
}
DS_INLINE Halves round_halves(const Vec (&v)[kAcross]) {
  Halves row;
  for (size_t i = 0; i < kAcross; i++) store(row.at + i * kLanes, v[i]);
  return row;
}
DS_INLINE void store_halves(char* to, Halves row) { memcpy(to, &row, sizeof row); }
DS_INLINE void store_pairs(char* to, char* to_next, Halves first, Halves second) {
  Pair words[kBlock];
  for (size_t i = 0; i < kBlock; i++) words[i] = {first.at[i], second.at[i]};
  memcpy(to, words, kBlock * 2);
  memcpy(to_next, words + kSide, kBlock * 2);
}
DS_INLINE constexpr size_t column_of(size_t row, size_t word) { return row * kSide + word; }
DS_INLINE void store_pairs_in_order(char* to, char* to_next, Halves first, Halves second) { store_pairs(to, to_next, first, second); }
struct Square {
  Pair at[kSide][kSide];
};
DS_INLINE void set_row(Square& square, size_t row, Halves halves) { memcpy(square.at[row], &halves, sizeof halves); }
DS_INLINE Halves row_of(const Square& square, size_t row) {
  Halves halves;
  memcpy(&halves, square.at[row], sizeof halves);
  return halves;
}
DS_INLINE void set_pairs(Square& low, Square& high, size_t row, Halves first, Halves second) {
  store_pairs((char*)low.at[row], (char*)high.at[row], first, second);
}
DS_INLINE void exchange(Square& square) {
  for (size_t i = 0; i < kSide; i++)
    for (size_t j = 0; j < i; j++) {
      const Pair word = square.at[i][j];
      square.at[i][j] = square.at[j][i];
      square.at[j][i] = word;
    }
}
DS_INLINE void set_rounded(Square& square, size_t row, const Vec* first, const Vec* second) {
  for (size_t i = 0; i < kSide / kLanes; i++) store((float*)(square.at[row] + i * kLanes), pair_up<float>(first[i], second[i]));
}
DS_INLINE void put_halves(bf16* to, Halves row, size_t count) { memcpy(to, row.at, min(count, kBlock) * sizeof(bf16)); }
#endif

// The functions below copy a matrix of bf16, given by row(i) for i < rows, into tiles. The tiles of 16 rows (or columns) follow each other
// along the depth, `steps` tiles in all.

// Left tiles, deep along the columns. Fills all rows up to a whole block.
template <class Row>
inline void left_tiles(Row row, size_t rows, size_t columns, char* tiles) {
  const size_t steps = ceil_div(columns, kBlock);
  for (size_t i = 0; i < round_up(rows, kBlock); i++) {
    char* to = tiles + i / kSide * steps * kCell + i % kSide * 64;
    for (size_t s = 0; s < steps; s++, to += kCell) store_halves(to, i < rows ? load_halves(row(i) + s * kBlock, columns - s * kBlock) : no_halves());
  }
}

// Right tiles of the transposed matrix, deep along the columns: two tiles, for rows [first, first + 32) of the matrix.
template <class Row>
inline void right_tiles_transposed(Row row, size_t first, size_t rows, size_t columns, char* tiles) {
  const size_t steps = ceil_div(columns, kBlock);
  for (size_t j = first; j < first + kBlock; j += kSide)
    for (size_t s = 0; s < steps; s++, tiles += kCell) {
      Square square;
      DS_SQUARE
      for (size_t i = 0; i < kSide; i++) set_row(square, i, j + i < rows ? load_halves(row(j + i) + s * kBlock, columns - s * kBlock) : no_halves());
      exchange(square);
      DS_SQUARE
      for (size_t i = 0; i < kSide; i++) store_halves(tiles + i * 64, row_of(square, i));
    }
}

// Left tiles of the transposed matrix, deep along the rows.
template <class Row>
inline void left_tiles_transposed(Row row, size_t rows, size_t columns, char* tiles) {
  const size_t steps = ceil_div(rows, kBlock);
  for (size_t c = 0; c < columns; c += kBlock)
    for (size_t s = 0; s < steps; s++) {
      const auto at = [&](size_t i) { return s * kBlock + i < rows ? load_halves(row(s * kBlock + i) + c, columns - c) : no_halves(); };
      Square square[2];
      DS_SQUARE
      for (size_t i = 0; i < kSide; i++) set_pairs(square[0], square[1], i, at(2 * i), at(2 * i + 1));
      for (size_t part = 0; part < 2; part++) {
        exchange(square[part]);
        DS_SQUARE
        for (size_t i = 0; i < kSide; i++) {
          const size_t channel = c + column_of(part, i);
          store_halves(tiles + (channel / kSide * steps + s) * kCell + channel % kSide * 64, row_of(square[part], i));
        }
      }
    }
}

// Right tiles, deep along the rows.
template <class Row>
inline void right_tiles(Row row, size_t rows, size_t columns, char* tiles) {
  const size_t steps = ceil_div(rows, kBlock);
  for (size_t c = 0; c < columns; c += kBlock)
    for (size_t i = 0; i < steps * kBlock; i += 2) {
      const auto at = [&](size_t r) { return r < rows ? load_halves(row(r) + c, columns - c) : no_halves(); };
      char* to = tiles + (c / kSide * steps + i / kBlock) * kCell + i % kBlock / 2 * 64;
      store_pairs_in_order(to, to + steps * kCell, at(i), at(i + 1));
    }
}

// sums[32][32] (+)= left · right, each two tiles wide and `steps` deep; the second tile of an operand begins `stride` tiles after the first.
// With Rows = 1 only the upper 16 rows are computed.
template <int Rows = 2>
__attribute__((noinline)) void block_product(size_t steps, const char* left, size_t left_stride, const char* right, size_t right_stride, float* sums,
                                             bool accumulate = false) {
  Tiles tiles;
  constexpr size_t kRow = kBlock * sizeof(float);
  float* below = sums + kSide * kBlock;
  if (accumulate) {
    tiles.template load<0>(sums, kRow);
    tiles.template load<1>(sums + kSide, kRow);
    if constexpr (Rows == 2) {
      tiles.template load<2>(below, kRow);
      tiles.template load<3>(below + kSide, kRow);
    }
  } else {
    tiles.template zero<0>();
    tiles.template zero<1>();
    if constexpr (Rows == 2) {
      tiles.template zero<2>();
      tiles.template zero<3>();
    }
  }
  for (size_t s = 0; s < steps; s++, left += kCell, right += kCell) {
    tiles.template load<6>(right, 64);
    tiles.template load<4>(left, 64);
    tiles.template multiply<0, 0>();
    tiles.template load<7>(right + right_stride * kCell, 64);
    tiles.template multiply<0, 1>();
    if constexpr (Rows == 2) {
      tiles.template load<5>(left + left_stride * kCell, 64);
      tiles.template multiply<1, 0>();
      tiles.template multiply<1, 1>();
    }
  }
  tiles.template store<0>(sums, kRow);
  tiles.template store<1>(sums + kSide, kRow);
  if constexpr (Rows == 2) {
    tiles.template store<2>(below, kRow);
    tiles.template store<3>(below + kSide, kRow);
  }
}

// Sᵀ of 32 keys and 32 queries: `key` is the first key and a multiple of 32. No tile is computed that has no key.
DS_INLINE void score_block(size_t key, size_t keys, size_t steps, const char* left, const char* right, float* sums) {
  left += key / kSide * steps * kCell;
  if (keys - key > kSide)
    block_product<2>(steps, left, steps, right, steps, sums);
  else
    block_product<1>(steps, left, steps, right, steps, sums);
}

// Scratch memory begins at a line of the cache, so that no row of a tile crosses one.
DS_INLINE float* at_line(float* scratch) { return scratch + (round_up((size_t)scratch, 64) - (size_t)scratch) / sizeof(float); }
constexpr size_t kLineFloats = 16;

// A row of 32 values of a block.
DS_INLINE void load_row(const float* from, Vec (&row)[kAcross]) {
#pragma GCC unroll 8
  for (size_t i = 0; i < kAcross; i++) row[i] = load(from + i * kLanes);
}

// How queries are ordered in the columns of a block.
constexpr auto in_order = [](size_t tile, size_t word) { return tile * kSide + word; };

// Stores a transposed block of sums, sums[channel][query], rounded: to(query)[channel] = sums · factor(query), for the first `queries` queries
// and `channels` channels. `factor(column)` is a vector of factors, and `order(tile, word)` the query that a column of the block belongs to.
template <class Factor, class Order, class To>
DS_INLINE void store_transposed(const float* sums, Factor factor, size_t queries, size_t channels, Order order, To to) {
  constexpr size_t kHalf = kSide / kLanes;
  for (size_t tile = 0; tile < 2; tile++, sums += kSide) {
    Square square;
    DS_SQUARE
    for (size_t i = 0; i < kSide; i++) {
      Vec first[kHalf], second[kHalf];
      for (size_t part = 0; part < kHalf; part++) {
        const Vec f = factor(tile * kSide + part * kLanes);
        const float* at = sums + 2 * i * kBlock + part * kLanes;
        first[part] = load(at) * f;
        second[part] = load(at + kBlock) * f;
      }
      set_rounded(square, i, first, second);
    }
    exchange(square);
    DS_SQUARE
    for (size_t i = 0; i < kSide; i++) {
      const size_t query = order(tile, i);
      if (query < queries) put_halves(to(query), row_of(square, i), channels);
    }
  }
}

// Stores the rows of a block of sums, rounded: to(row)[column] = scale · sums.
template <class To>
DS_INLINE void store_rounded(const float* sums, float scale, size_t rows, size_t columns, To to) {
  for (size_t i = 0; i < min(rows, kBlock); i++) {
    Vec row[kAcross];
    load_row(sums + i * kBlock, row);
    for (size_t part = 0; part < kAcross; part++) row[part] *= splat(scale);
    put_halves(to(i), round_halves(row), columns);
  }
}

// Which probabilities of a block are kept, as words of 32 keys for each of 32 queries: words[⌈keys/32⌉][32].
DS_INLINE size_t kept_words(size_t keys) { return ceil_div(keys, kBlock) * kBlock; }
// `kept` are the bits of `queries` rows of `keys` elements, from KeptRows or KeptPlaces.
template <class Kept>
DS_INLINE void kept_by_key(const Kept& kept, size_t queries, size_t keys, uint32_t* words) {
  for (size_t key = 0; key < keys; key += kBlock)
    for (size_t q = 0; q < kBlock; q++) *words++ = q < queries ? kept.word(q, key) : 0;
}
DS_INLINE Vec keep_lanes(Vec x, const uint32_t* words, uint32_t bit) {
  UVec lanes;
  memcpy(&lanes, words, sizeof lanes);
#if DROPSTREAM_ISA_avx512
  return (Vec)_mm512_maskz_mov_ps(_mm512_test_epi32_mask((__m512i)lanes, (__m512i)splat_bits(bit)), (__m512)x);
#else
  return (Vec)((UVec)x & (UVec)((lanes & splat_bits(bit)) == splat_bits(bit)));
#endif
}
DS_INLINE void keep_row(Vec (&row)[kAcross], const uint32_t* words, size_t key) {
#pragma GCC unroll 8
  for (size_t i = 0; i < kAcross; i++) row[i] = keep_lanes(row[i], words + key / kBlock * kBlock + i * kLanes, 1u << key % kBlock);
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
