// A slice of a weight gradient's operands, rearranged into tiles: dy transposed, as the left operand, and x in pairs of rows, as the right
// one. The work is cut into pieces of about a hundred instructions, which run between the steps of tile products of another slice.
#pragma once
#include "kernels/amx/nest.h"
#include "kernels/pack/pairs.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// The largest part of weight that one slice serves, and its depth. Rows are a multiple of kTileBlock and of the vector kernel's kRowBlock.
constexpr size_t kSliceRows = 384, kSliceColumns = 256, kSliceDepth = 512;
constexpr size_t kSliceFloats = (kSliceRows + kSliceColumns) * kSliceDepth / 2;
static_assert(kSliceRows % kTileBlock == 0 && kSliceRows % kRowBlock == 0, "one weight_grad_rows serves both types");
constexpr size_t kStripColumns = 64;  // columns of x in one piece of memory

// to[8][32] = the transpose of from[32][8], which has `stride` elements from row to row. Loads put four parts of 16 bytes, from rows that are
// 8 apart, into one vector; three rounds of shuffles then exchange rows and columns inside the parts. This takes 48 shuffles for a tile,
// where interleaving pairs of rows and transposing words would take 80: shuffles run on one port, loads and insertions on others.
DS_INLINE void transpose_piece(const bf16* from, size_t stride, bf16* to) {
#if DROPSTREAM_ISA_avx512
  __m512i row[8], pairs[8], fours[8];
#pragma GCC unroll 8
  for (size_t r = 0; r < 8; r++) {
    const auto part = [&](size_t quarter) { return _mm_loadu_si128((const __m128i*)(from + (quarter * 8 + r) * stride)); };
    row[r] = _mm512_castsi128_si512(part(0));
    row[r] = _mm512_inserti32x4(row[r], part(1), 1);
    row[r] = _mm512_inserti32x4(row[r], part(2), 2);
    row[r] = _mm512_inserti32x4(row[r], part(3), 3);
  }
#pragma GCC unroll 4
  for (size_t r = 0; r < 4; r++) {
    pairs[2 * r] = _mm512_unpacklo_epi16(row[2 * r], row[2 * r + 1]);
    pairs[2 * r + 1] = _mm512_unpackhi_epi16(row[2 * r], row[2 * r + 1]);
  }
  // fours[4·half + 2·h + l]: rows 4·half …, columns 4·h + 2·l and the next.
#pragma GCC unroll 2
  for (size_t half = 0; half < 2; half++)
#pragma GCC unroll 2
    for (size_t h = 0; h < 2; h++) {
      fours[4 * half + 2 * h] = _mm512_unpacklo_epi32(pairs[4 * half + h], pairs[4 * half + 2 + h]);
      fours[4 * half + 2 * h + 1] = _mm512_unpackhi_epi32(pairs[4 * half + h], pairs[4 * half + 2 + h]);
    }
#pragma GCC unroll 4
  for (size_t c = 0; c < 4; c++) {
    _mm512_storeu_si512(to + 2 * c * kTileDepth, _mm512_unpacklo_epi64(fours[c], fours[4 + c]));
    _mm512_storeu_si512(to + (2 * c + 1) * kTileDepth, _mm512_unpackhi_epi64(fours[c], fours[4 + c]));
  }
#else
  for (size_t r = 0; r < kTileDepth; r++)
    for (size_t c = 0; c < 8; c++) to[c * kTileDepth + r] = from[r * stride + c];
#endif
}

class Slice {
 public:
  // dy and x begin at the slice's first row and column of weight, with m and n elements from row to row.
  Slice(const bf16* dy, size_t m, size_t rows, const bf16* x, size_t n, size_t columns, float* memory)
      : dy_(dy),
        x_(x),
        m_(m),
        n_(n),
        rows_(rows),
        columns_(columns),
        left_memory_((char*)memory),
        right_memory_((Pair*)(memory + kSliceRows * kSliceDepth / 2)) {}

  size_t steps() const { return steps_; }
  const Strip* left(size_t row) const { return left_ + row / kTile; }
  const Strip* right(size_t column) const { return right_ + column / kTile; }

  // Rearranges rows [r, r + depth) from now on, with equal parts at each of `times` calls.
  void begin(size_t r, size_t depth, size_t times) {
    first_ = r;
    depth_ = depth;
    steps_ = tiles_in(depth, kTileDepth);
    step_ = lane_ = piece_ = 0;
    row_blocks_ = ceil_div(rows_, kTileBlock);
    lanes_ = row_blocks_ + ceil_div(columns_, kStripColumns);
    share_ = ceil_div(4 * lanes_ * steps_, times);
    // The two tiles of a block of 32 rows are neighbours.
    for (size_t i = 0; i < 2 * row_blocks_; i++) {
      char* at = left_memory_ + i / 2 * (2 * kTileBytes * steps_) + i % 2 * kTileBytes;
      left_[i] = {at, 64, 2 * kTileBytes, steps_, at};
    }
    constexpr size_t bytes = kStripColumns * sizeof(Pair);
    for (size_t i = 0; i * kTile < columns_; i++) {
      const char* at = (const char*)(right_strip(i * kTile / kStripColumns) + i * kTile % kStripColumns);
      right_[i] = {at, bytes, kTile * bytes, steps_, at};
    }
  }
  DS_INLINE void operator()() {
    if (step_ < steps_) advance(share_);
  }
  void finish() { advance(4 * lanes_ * steps_); }

 private:
  Pair* right_strip(size_t strip) const { return right_memory_ + strip * steps_ * kTile * kStripColumns; }

  __attribute__((noinline)) void advance(size_t pieces) {
    for (; pieces && step_ < steps_; pieces--) {
      const size_t begin = step_ * kTileDepth, deep = min(kTileDepth, depth_ - begin);
      look_ahead();
      if (lane_ < row_blocks_)
        transpose(dy_ + (first_ + begin) * m_ + lane_ * kTileBlock + piece_ * 8, deep,
                  (bf16*)(left_memory_ + (lane_ * steps_ + step_) * 2 * kTileBytes) + piece_ * 8 * kTileDepth);
      else
        pair_up_rows(lane_ - row_blocks_, begin + piece_ * 8);
      if (++piece_ < 4) continue;
      piece_ = 0;
      if (++lane_ < lanes_) continue;
      lane_ = 0;
      step_++;
    }
  }
  // Prefetches what the same lane reads at the next step, eight rows for each piece.
  DS_INLINE void look_ahead() const {
    const size_t row = (step_ + 1) * kTileDepth + piece_ * 8;
    if (row + 8 > depth_) return;
    if (lane_ < row_blocks_)
      for (size_t r = 0; r < 8; r++) __builtin_prefetch(dy_ + (first_ + row + r) * m_ + lane_ * kTileBlock);
    else
      for (size_t r = 0; r < 8; r++) {
        const bf16* at = x_ + (first_ + row + r) * n_ + (lane_ - row_blocks_) * kStripColumns;
        __builtin_prefetch(at);
        __builtin_prefetch(at + kStripColumns / 2);
      }
  }
  // Eight columns of dy, or what there is of them, become eight rows of tiles.
  DS_INLINE void transpose(const bf16* from, size_t deep, bf16* to) {
    const size_t before = lane_ * kTileBlock + piece_ * 8, wide = min(size_t{8}, rows_ - min(rows_, before));
    if (deep == kTileDepth && wide == 8) return transpose_piece(from, m_, to);
    bf16 whole[kTileDepth * 8] = {};
    for (size_t r = 0; r < deep; r++) memcpy(whole + r * 8, from + r * m_, wide * sizeof(bf16));
    transpose_piece(whole, 8, to);
  }
  // Eight rows of a strip of x become four rows of pairs. Rows beyond the last count as zeros.
  DS_INLINE void pair_up_rows(size_t strip, size_t row) {
    const size_t columns = min(kStripColumns, columns_ - strip * kStripColumns), deep = min(size_t{8}, depth_ - min(depth_, row));
    Pair* to = right_strip(strip) + row / 2 * kStripColumns;
    pack_block(deep, columns, x_ + (first_ + row) * n_ + strip * kStripColumns, n_, to, kStripColumns);
    if (deep < 8) memset(to + steps_of<Pair>(deep) * kStripColumns, 0, (4 - steps_of<Pair>(deep)) * kStripColumns * sizeof(Pair));
  }

  const bf16 *dy_, *x_;
  size_t m_, n_, rows_, columns_;
  char* left_memory_;
  Pair* right_memory_;
  size_t first_ = 0, depth_ = 0, steps_ = 0, step_ = 0, lane_ = 0, piece_ = 0, row_blocks_ = 0, lanes_ = 0, share_ = 0;
  Strip left_[kSliceRows / kTile], right_[kSliceColumns / kTile];
};

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
