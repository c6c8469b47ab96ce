// c = a · b for bf16, in tiles; fp32 operands go to the vector kernel.
//
// If c is fp32 and needs no epilogue, the tiles begin and end in c. Otherwise the sums of a block of 32 × 32 go to a small buffer that stays
// in L1, and are finished from there while the tiles of the next block are multiplied: a few rows after each step along k, so that the
// processor's window of instructions always holds tile products and vector work together. The rows of a that follow, and what the epilogue
// reads, are asked for during the steps. The lines that are written are not: asking takes longer than the writes wait. But lines that are in no
// cache may be written past the caches, which spares reading them: qkv of 1,576 tokens takes 220 us instead of 390 in a step of vit_tiny, and
// attention, which then gets it from memory, 25 us more. It is a loss where the next kernel reads all of it at once (GELU's values).
#include "kernels/amx/gelu.h"
#include "kernels/amx/nest.h"
#include "kernels/epilogue/epilogue.h"

namespace dropstream {
namespace DROPSTREAM_BASE {
void product(const ProductArgs&, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end);
}
namespace DROPSTREAM_ISA {

// Whole rows of a block are finished line by line, if results and saved values are bf16 and vectors can round two registers into one.
#if DROPSTREAM_ISA_avx512_bf16
constexpr bool kLines = true;

// A line is 32 values of a row of c, or the first of them that `columns` has. Past the cache, it has all of them.
DS_INLINE void put_line(bool past_cache, bf16* to, __mmask32 columns, Vec first, Vec second) {
  const __m512i line = (__m512i)_mm512_cvtne2ps_pbh((__m512)second, (__m512)first);
  if (past_cache)
    _mm512_stream_si512((__m512i*)to, line);
  else
    _mm512_mask_storeu_epi16(to, columns, line);
}

// finish(first, second, row) for each row's two vectors of sums.
template <class Finish>
DS_INLINE void for_lines(const float* sum, size_t rows, Finish finish) {
  for (size_t row = 0; row < rows; row++, sum += kTileBlock) finish(load(sum), load(sum + kTile), row);
}

static void finish_lines(Epilogue epilogue, const float* sum, bf16* c, bf16* side, size_t stride, size_t rows, size_t wide, bool past_cache) {
  const __mmask32 columns = (__mmask32)((uint64_t{1} << wide) - 1);
  const bool past = past_cache && wide == kTileBlock;
  if (epilogue == Epilogue::none)
    for_lines(sum, rows, [&](Vec first, Vec second, size_t row) { put_line(past, c + row * stride, columns, first, second); });
  else if (epilogue == Epilogue::times_side)
    for_lines(sum, rows, [&](Vec first, Vec second, size_t row) {
      const __m512i factors = _mm512_maskz_loadu_epi16(columns, side + row * stride);
      const Vec low = widen((HalfVec)_mm512_castsi512_si256(factors)), high = widen((HalfVec)_mm512_extracti64x4_epi64(factors, 1));
      put_line(false, c + row * stride, columns, first * low, second * high);
    });
  else
    for_lines(sum, rows, [&](Vec first, Vec second, size_t row) {
      const ShortGelu one = short_gelu(first), two = short_gelu(second);
      put_line(false, c + row * stride, columns, one.value, two.value);
      if (side) put_line(past, side + row * stride, columns, one.slope, two.slope);
    });
}
#else
constexpr bool kLines = false;
static void finish_lines(Epilogue, const float*, bf16*, bf16*, size_t, size_t, size_t, bool) {}
#endif

// Finishes blocks of sums, which it keeps for one block longer than the tiles.
template <class C>
class Finisher {
 public:
  Finisher(const ProductArgs& args, size_t steps)
      : p_(args),
        share_(ceil_div(kTileBlock, steps)),
        past_cache_(kLines && sizeof(C) == sizeof(bf16) && p_.c_stride % kTileBlock == 0 && (is_kept_and_wide() || has_slope())) {}

  // The rows of the left operand to prefetch during the next `blocks` blocks.
  void look_ahead(const bf16* from, size_t elements, size_t blocks, size_t steps) {
    ahead_ = (const char*)from;
    ahead_end_ = ahead_ + elements * sizeof(bf16);
    ahead_share_ = ceil_div(elements * sizeof(bf16), 64 * blocks * steps);
  }
  // The block at row i, column j of c is multiplied now, and its sums will be at `sum`.
  void next(const float* sum, size_t i, size_t j, size_t rows, size_t columns) { next_ = {sum, i * p_.c_stride + j, rows, columns, 0}; }

  // A part of the work, once for each step of the block. A function of its own, so that the loop over the steps keeps its registers.
  __attribute__((noinline)) void operator()() {
    for (size_t line = 0; line < ahead_share_ && ahead_ < ahead_end_; line++, ahead_ += 64) __builtin_prefetch(ahead_, 0, 2);
    if (p_.epilogue == Epilogue::times_side)
      with_types(p_.side, [&](auto* side) {
        for (size_t row = next_.done; row < min(next_.rows, next_.done + share_); row++) prefetch_row(side + next_.at + row * p_.c_stride, next_.columns);
      });
    next_.done += share_;
    if (last_.done < last_.rows) finish(share_);
  }
  // The block has been multiplied.
  void turn() {
    finish(last_.rows);
    last_ = next_;
    last_.done = 0;
  }
  void finish_all() {
    finish(last_.rows);
    last_.rows = 0;
  }
  // What was written past the cache becomes visible before anything that other threads see later.
  void fence() const {
#if DROPSTREAM_ISA_avx512_bf16
    if (past_cache_) _mm_sfence();
#endif
  }

 private:
  struct Block {
    const float* sum = nullptr;
    size_t at = 0, rows = 0, columns = 0, done = 0;
  };

  template <class T>
  DS_INLINE void prefetch_row(const T* row, size_t columns) {
    __builtin_prefetch(row);
    if (((size_t)row % 64 + columns * sizeof(T)) > 64) __builtin_prefetch(row + columns - 1);
  }
  static bool starts_line(Out matrix) { return matrix && matrix.type == Type::bf16 && (size_t)matrix.at % 64 == 0; }
  bool is_kept_and_wide() const { return p_.epilogue == Epilogue::none && p_.kept && p_.n >= 2 * p_.k && starts_line(p_.c); }
  bool has_slope() const { return p_.epilogue == Epilogue::gelu && starts_line(p_.side); }
  DS_INLINE void finish(size_t rows) {
    rows = min(rows, last_.rows - min(last_.rows, last_.done));
    if (rows == 0) return;
    const size_t at = last_.at + last_.done * p_.c_stride;
    const Out side = p_.side ? p_.side + at : p_.side;
    const float* sum = last_.sum + last_.done * kTileBlock;
    if (kLines && sizeof(C) == sizeof(bf16) && (!side || side.type == Type::bf16)) {
      finish_lines(p_.epilogue, sum, (bf16*)p_.c.at + at, side.halves(), p_.c_stride, rows, last_.columns, past_cache_);
    } else {
      with_types(side, [&](auto* values) { apply_epilogue(p_.epilogue, sum, kTileBlock, (C*)p_.c.at + at, values, p_.c_stride, rows, last_.columns); });
    }
    last_.done += rows;
  }

  const ProductArgs& p_;
  size_t share_;     // rows per step
  bool past_cache_;  // a wide result that is kept, or GELU's slope, which only the backward pass reads, is written without reading its lines
  Block next_, last_;
  const char *ahead_ = nullptr, *ahead_end_ = nullptr;
  size_t ahead_share_ = 0;
};

// Panels of the right operand that stay in L2 while all rows of the left one pass by: if Mixer's 2 MiB come from L3 for every 32 rows, a
// product takes a quarter longer. Panels with copied tiles are fewer, because the stack holds the copies (threads of musl have 128 KiB).
constexpr size_t kResidentBytes = 1 << 20, kResidentPanels = 16, kCopiedPanels = kLanes % kTile ? 1 : 4;

template <class C>
static void product_of(const ProductArgs& p, C* c, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end) {
  constexpr bool kFull = sizeof(C) == sizeof(float);
  const bool in_place = kFull && p.epilogue == Epilogue::none;
  const size_t depth_of_pass = p.a_k_major ? kCopiedDepth : kTiledDepth, passes = ceil_div(p.k, depth_of_pass);
  alignas(64) float sums[kStrips * (kLanes % kTile ? kPanelStrips : ceil_div(kPanelStrips, 2))][kTileBlock * kTileBlock];
  alignas(64) char spare[kLeftSpare], right_spare[kCopiedPanels][kRightSpare];
  Strip left[kStrips], right[kResidentPanels][kPanelStrips];
  const auto make_right = [&](size_t panel, size_t depth, size_t slice) {
    const size_t width = panel_stride(p.n, panel), kept = panel - panel_begin;
    const Pair* words = static_cast<const Pair*>(p.b.at) + panel * kPanelWidth * steps_of<Pair>(p.k) + depth / 2 * width;
    right_strips(slice, words, width, right_spare[kept % kCopiedPanels], right[kept]);
  };
  Nothing nothing;
  Finisher<C> finisher(p, tiles_in(min(p.k, depth_of_pass), kTileDepth));
  size_t turn = 0;  // with one pass, two buffers alternate; with more, every block of the panel keeps its own until the last pass
  if (passes == 1)
    for (size_t panel = panel_begin; panel < panel_end; panel++) make_right(panel, 0, p.k);
  for (size_t i0 = row_begin; i0 < row_end; i0 += kTiledRows) {
    const size_t rows = min(kTiledRows, row_end - i0);
    for (size_t panel = panel_begin; panel < panel_end; panel++) {
      const size_t j0 = panel * kPanelWidth, columns = min(kPanelWidth, p.n - j0);
      for (size_t depth = 0; depth < p.k; depth += depth_of_pass) {
        const size_t slice = min(depth_of_pass, p.k - depth), steps = tiles_in(slice, kTileDepth);
        if (p.a_k_major)
          strips_of(rows, slice, static_cast<const Pair*>(p.a.at) + depth / 2 * p.a_stride + i0, p.a_stride, spare, left);
        else if (passes > 1 || panel == panel_begin)
          strips_of(rows, slice, p.a.halves() + i0 * p.a_stride + depth, p.a_stride, spare, left);
        if (passes == 1 && panel == panel_begin && p.a_stride == p.k && !p.a_k_major && i0 + rows < row_end)
          finisher.look_ahead(p.a.halves() + (i0 + rows) * p.k, min(kTiledRows, row_end - i0 - rows) * p.k,
                              ceil_div(rows, kTileBlock) * ceil_div((panel_end - panel) * kPanelWidth, kTileBlock), steps);
        if (passes > 1) make_right(panel, depth, slice);
        size_t block = 0;
        for (size_t j = 0, wide; j < columns; j += wide) {
          const Strip* const b = right[panel - panel_begin] + j / kTile;
          wide = block_size(columns - j, b);
          for (size_t i = 0, tall; i < rows; i += tall, block++) {
            const Strip* const a = left + i / kTile;
            tall = block_size(rows - i, a);
            float* const at = kFull ? (float*)c + (i0 + i) * p.c_stride + j0 + j : nullptr;
            const Place matrix{at, p.c_stride, tall, wide}, bias{p.bias ? (float*)p.bias + j0 + j : nullptr, 0, tall, wide};
            const Place buffer{passes > 1 ? sums[block] : sums[turn++ % 2], kTileBlock, kTileBlock, kTileBlock};
            const Place& to = in_place ? matrix : buffer;
            const Place& from = depth > 0 ? to : p.accumulate ? matrix : bias;
            if (in_place || depth + slice < p.k) {
              multiply_block(tall, wide, steps, a, b, from, to, nothing);
              continue;
            }
            finisher.next(buffer.at, i0 + i, j0 + j, tall, wide);
            multiply_block(tall, wide, steps, a, b, from, to, finisher);
            finisher.turn();
            if (passes > 1) finisher.finish_all();
          }
        }
      }
    }
  }
  finisher.finish_all();
  finisher.fence();
}

void product(const ProductArgs& p, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end) {
  if (p.a.type == Type::fp32) return DROPSTREAM_BASE::product(p, row_begin, row_end, panel_begin, panel_end);
  if (row_begin == row_end || panel_begin == panel_end) return;
  const size_t panels = panel_end - panel_begin, most = p.k % kTileDepth || kLanes % kTile ? kCopiedPanels : kResidentPanels;
  const size_t fit = kResidentBytes / (kPanelWidth * sizeof(bf16) * p.k), groups = ceil_div(panels, fit > 0 ? min(most, fit) : 1);
  const size_t group = ceil_div(panels, groups);
  for (size_t panel = panel_begin; panel < panel_end; panel += group)
    with_types(p.c, [&](auto* c) { product_of(p, c, row_begin, row_end, panel, min(panel_end, panel + group)); });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
