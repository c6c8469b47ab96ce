// The operands of a weight gradient, rearranged into tiles: dy transposed, as the left operand, and x in pairs of rows, as the right one. The
// work is cut into pieces of about a hundred instructions, which run between the steps of tile products of other strips.
#pragma once
#include "kernels/amx/nest.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

constexpr size_t kGradDepth = 1600;                                     // rows of dy and x in one pass over the sums: 8 samples of 197 tokens
constexpr size_t kStripBytes = kTileBlock * kGradDepth * sizeof(bf16);  // of 32 columns
constexpr size_t kPieceRows = 8;                                        // of x in one piece
constexpr size_t kGradJobRows = 384;                                    // of weight for a job
static_assert(kGradJobRows % kTileBlock == 0 && kGradJobRows % kRowBlock == 0, "one weight_grad_rows serves both types");
// The columns of one operand that stay in L2, and the memory for them and for two strips of the other one.
constexpr size_t kStayingColumns = 256, kGradScratch = (kStayingColumns / kTileBlock + 2) * kStripBytes / sizeof(float);

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

// to[4][32] = neighbouring rows of from[8][32] as pairs.
DS_INLINE void pair_piece(const bf16* from, size_t stride, Pair* to) {
#if DROPSTREAM_ISA_avx512
  // Words are interleaved within parts of 16 bytes, so the parts are put where their halves end in order.
  const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
#pragma GCC unroll 4
  for (size_t r = 0; r < kPieceRows; r += 2, to += kTileBlock) {
    const __m512i first = _mm512_permutexvar_epi64(order, _mm512_loadu_si512(from + r * stride));
    const __m512i second = _mm512_permutexvar_epi64(order, _mm512_loadu_si512(from + (r + 1) * stride));
    _mm512_storeu_si512(to, _mm512_unpacklo_epi16(first, second));
    _mm512_storeu_si512(to + kTile, _mm512_unpackhi_epi16(first, second));
  }
#else
  for (size_t r = 0; r < kPieceRows; r += 2, to += kTileBlock)
    for (size_t j = 0; j < kTileBlock; j++) to[j] = {from[r * stride + j], from[(r + 1) * stride + j]};
#endif
}

// Columns of dy (left) or of x that a job rearranges, from `at` on, with `stride` elements from row to row.
struct GradOperand {
  const bf16* at;
  size_t stride, columns;
  bool left;

  size_t strips() const { return tiles_in(columns, kTileBlock); }
};

// Rearranges 32 columns of an operand. The two tiles of a step are neighbours in memory: one after the other (left), or side by side.
class GradStrip {
 public:
  // Begins with rows [first, first + depth) of all `end` rows, with equal parts at each of `times` calls.
  void begin(const GradOperand& operand, size_t strip, size_t first, size_t depth, size_t end, char* to, size_t times) {
    from_ = operand.at + first * operand.stride + strip * kTileBlock;
    stride_ = operand.stride;
    wide_ = min(kTileBlock, operand.columns - strip * kTileBlock);
    left_ = operand.left;
    to_ = to;
    rest_ = depth;
    readable_ = end - first;
    total_ = 4 * tiles_in(depth, kTileDepth);
    piece_ = due_ = 0;
    times_ = times;
  }
  DS_INLINE void operator()() {
    if (piece_ < total_) advance();
  }
  void finish() {
    while (piece_ < total_) piece();
  }

 private:
  __attribute__((noinline)) void advance() {
    for (due_ += total_; due_ >= times_ && piece_ < total_; due_ -= times_) piece();
  }
  DS_INLINE void piece() {
    const size_t quarter = piece_++ % 4;
    look_ahead(quarter);
    if (left_)
      transpose(quarter);
    else
      pair_up(quarter);
    if (quarter < 3) return;
    to_ += 2 * kTileBytes;
    from_ += kTileDepth * stride_;
    rest_ -= min(rest_, kTileDepth);
    readable_ -= min(readable_, kTileDepth);
  }
  // Asks for what is read two steps later. Into L2 only: lines on their way to L1 occupy the buffers that tile loads need, for as long as L3
  // takes.
  DS_INLINE void look_ahead(size_t quarter) const {
    const size_t row = 2 * kTileDepth + quarter * kPieceRows;
    if (row + kPieceRows > readable_) return;
    for (size_t r = 0; r < kPieceRows; r++) __builtin_prefetch(from_ + (row + r) * stride_, 0, 2);
  }
  // Eight columns of dy, or what there is of them, become eight rows of tiles.
  DS_INLINE void transpose(size_t quarter) {
    const bf16* from = from_ + quarter * 8;
    bf16* to = (bf16*)to_ + quarter * 8 * kTileDepth;
    const size_t deep = min(kTileDepth, rest_), wide = min(size_t{8}, wide_ - min(wide_, quarter * 8));
    if (deep == kTileDepth && wide == 8) return transpose_piece(from, stride_, to);
    bf16 whole[kTileDepth * 8] = {};
    for (size_t r = 0; r < deep; r++) memcpy(whole + r * 8, from + r * stride_, wide * sizeof(bf16));
    transpose_piece(whole, 8, to);
  }
  // Eight rows of 32 columns of x, or what there is of them, become four rows of both tiles.
  DS_INLINE void pair_up(size_t quarter) {
    const bf16* from = from_ + quarter * kPieceRows * stride_;
    Pair* to = (Pair*)to_ + quarter * kPieceRows / 2 * kTileBlock;
    const size_t deep = min(kPieceRows, rest_ - min(rest_, quarter * kPieceRows));
    if (deep == kPieceRows && wide_ == kTileBlock) return pair_piece(from, stride_, to);
    bf16 whole[kPieceRows * kTileBlock] = {};
    for (size_t r = 0; r < deep; r++) memcpy(whole + r * kTileBlock, from + r * stride_, wide_ * sizeof(bf16));
    pair_piece(whole, kTileBlock, to);
  }

  const bf16* from_ = nullptr;
  char* to_ = nullptr;
  size_t stride_ = 0, wide_ = 0, rest_ = 0, readable_ = 0, total_ = 0, piece_ = 0, due_ = 0, times_ = 1;
  bool left_ = false;
};

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
