// The gradient of one head's attention in tiles. P are the probabilities, F the dropout factors, and D = Σ dout·out for each query:
//   dv = (P·F)ᵀ·dout;  dS = P·(F·(dout·vᵀ) − D);  dq = scale·dS·k;  dk = scale·dSᵀ·q.
//
// A block of 32 queries takes the scores and dout·vᵀ of 32 keys at a time, in 4 KiB each. The tiles of the next 32 keys are computed before the
// vectors of these, so that both units work at once. (P·F)ᵀ and dSᵀ are kept in bf16 for up to 256 queries, after which they are added to dv
// and dk: the sums of most sequences are made in tiles, without a round trip through memory.
#pragma once
#include "kernels/amx/attention-head.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

constexpr size_t kQueriesKept = 256;

struct BackwardTiles {
  char *keys, *values, *keys_transposed, *queries, *upstream;  // operands of Sᵀ, of dout·vᵀ and of dq
  char *query_pairs, *upstream_pairs;                          // right operands of dk and dv, for kQueriesKept queries
  char *shares, *gradients, *gradient_pairs;                   // (P·F)ᵀ and dSᵀ as left operands, and dS of a block as a right operand
  float *scores, *products;                                    // two blocks each
  float *sums, *dk, *dv;
  float *shift, *dots;
  uint32_t* kept;
  uint8_t* bits;
  DS_INLINE BackwardTiles(Carve& carve, size_t n, size_t d) {
    const size_t queries_kept = min(kQueriesKept, n);
    keys = carve.take<char>(cells_of(n, d));
    values = carve.take<char>(cells_of(n, d));
    keys_transposed = carve.take<char>(cells_of(d, n));
    queries = carve.take<char>(cells_of(kBlock, d));
    upstream = carve.take<char>(cells_of(kBlock, d));
    query_pairs = carve.take<char>(cells_of(d, queries_kept));
    upstream_pairs = carve.take<char>(cells_of(d, queries_kept));
    shares = carve.take<char>(cells_of(n, queries_kept));
    gradients = carve.take<char>(cells_of(n, queries_kept));
    gradient_pairs = carve.take<char>(cells_of(kBlock, n));
    scores = carve.take(2 * kBlock * kBlock);
    products = carve.take(2 * kBlock * kBlock);
    // Blocks of dk and dv need a place of their own only if not all queries are added at once.
    const size_t blocks = n > kQueriesKept ? ceil_div(n, kBlock) * ceil_div(d, kBlock) : 0;
    sums = carve.take(kBlock * kBlock);
    dk = carve.take(blocks * kBlock * kBlock);
    dv = carve.take(blocks * kBlock * kBlock);
    shift = carve.take(kBlock);
    dots = carve.take(kBlock);
    kept = carve.take<uint32_t>(kept_words(n));
    bits = carve.take<uint8_t>(drawn_bytes(kBlock * n + 64));
  }
};

// For one block of queries: P = 2^(slope·score + bias + shift) and dS = P·(F·product + dot), where `product` is dout·vᵀ.
template <class Bias>
class ColumnGradient {
 public:
  DS_INLINE ColumnGradient(const Bias& bias, float slope, float factor, const float* shift, const float* dot)
      : bias_(bias), slope_(splat(slope)), factor_(splat(factor)) {
    load_row(shift, shift_);
    load_row(dot, dot_);
  }
  // Writes P·F and dS of up to 32 keys: as rows of two left tiles, `left_stride` tiles apart, and dS also as a step of two right tiles,
  // `pair_stride` tiles apart, whose columns are in the order of column_of. Rows beyond the last key are zeros. `words` says which
  // probabilities are kept; null if all are.
  DS_INLINE void compute(const float* scores, const float* products, size_t first, size_t keys, const uint32_t* words, char* shares, char* gradients,
                         size_t left_stride, char* pairs, size_t pair_stride) const {
    for (size_t k = 0; k < kBlock; k += 2, pairs += 64) {
      Halves ds[2];
#pragma GCC unroll 2
      for (size_t r = 0; r < 2; r++) {
        const size_t key = k + r, to = key / kSide * left_stride * kCell + key % kSide * 64;
        Vec p[kAcross], g[kAcross];
        if (key >= keys) {
          ds[r] = no_halves();
          store_halves(shares + to, ds[r]);
          store_halves(gradients + to, ds[r]);
          continue;
        }
#pragma GCC unroll 8
        for (size_t i = 0; i < kAcross; i++) {
          const size_t at = key * kBlock + i * kLanes;
          Vec exponent = fma(load(scores + at), slope_, shift_[i]);
          if constexpr (Bias::kAny) exponent = bias_(exponent + bias_.of(first + key, i), first + key, i);
          p[i] = power_of_two(exponent);
          g[i] = load(products + at);
          if (words) {
            const uint32_t bit = 1u << key;
            g[i] = p[i] * fma(keep_lanes(g[i], words + i * kLanes, bit), factor_, dot_[i]);
            p[i] = keep_lanes(p[i] * factor_, words + i * kLanes, bit);
          } else {
            g[i] = p[i] * (g[i] + dot_[i]);
          }
          if constexpr (Bias::kAny) bias_.add(g[i], first + key, i);
        }
        ds[r] = round_halves(g);
        store_halves(shares + to, round_halves(p));
        store_halves(gradients + to, ds[r]);
      }
      store_pairs(pairs, pairs + pair_stride * kCell, ds[0], ds[1]);
    }
  }

 private:
  const Bias& bias_;
  Vec slope_, factor_, shift_[kAcross], dot_[kAcross];
};

// to(key)[channel] (+)= scale · left · right for all keys, rounded if these are the last queries.
template <class To>
DS_INLINE void sum_queries(size_t n, size_t d, size_t steps, const char* left, const char* right, float scale, float* sums, float* all, bool first, bool last,
                           To to) {
  float* block = sums;
  for (size_t key = 0; key < n; key += kBlock)
    for (size_t channel = 0; channel < d; channel += kBlock) {
      if (!first || !last) {
        block = all;
        all += kBlock * kBlock;
      }
      const char *l = left + key / kSide * steps * kCell, *r = right + channel / kSide * steps * kCell;
      if (n - key > kSide)
        block_product<2>(steps, l, steps, r, steps, block, !first);
      else
        block_product<1>(steps, l, steps, r, steps, block, !first);
      if (last) store_rounded(block, scale, n - key, d - channel, [&](size_t i) { return to(key + i) + channel; });
    }
}

// `kept_of` and `bias_of` as in forward_head.
template <class Place, class Kept, class Biases>
DS_INLINE void backward_head(const TiledHead<Place>& h, const BackwardTiles& s, Kept kept_of, Biases bias_of) {
  const size_t n = h.tokens, d = h.head_dim, depth = ceil_div(d, kBlock), steps = ceil_div(n, kBlock);
  const auto key_row = [&](size_t i) { return h.k + h.place(i) * h.row; };
  const auto query_row = [&](size_t i) { return h.q + h.place(i) * h.row; };
  const auto dout_row = [&](size_t i) { return h.dout + h.place(i) * h.out_row; };
  left_tiles(key_row, n, d, s.keys);
  left_tiles([&](size_t i) { return h.v + h.place(i) * h.row; }, n, d, s.values);
  left_tiles_transposed(key_row, n, d, s.keys_transposed);
  for (size_t from = 0; from < n; from += kQueriesKept) {
    const size_t queries_kept = min(kQueriesKept, n - from), query_steps = ceil_div(queries_kept, kBlock);
    for (size_t begin = from; begin < from + queries_kept; begin += kBlock) {
      const size_t queries = min(kBlock, n - begin), query_step = (begin - from) / kBlock;
      right_tiles_transposed(query_row, begin, n, d, s.queries);
      right_tiles_transposed(dout_row, begin, n, d, s.upstream);
      const auto kept = kept_of(begin, queries);
      if (kept) kept_by_key(kept, queries, n, s.kept);
      for (size_t q = 0; q < kBlock; q++) {
        const bool inside = q < queries;
        s.shift[q] = inside ? -h.lse[begin + q] * kBase<bf16> : 0;
        s.dots[q] = inside ? -dot_product(h.out + h.place(begin + q) * h.out_row, dout_row(begin + q), d) : 0;
      }
      const auto tiles = [&](size_t key) {
        const size_t at = key % (2 * kBlock) * kBlock;
        score_block(key, n, depth, s.keys, s.queries, s.scores + at);
        score_block(key, n, depth, s.values, s.upstream, s.products + at);
      };
      const auto bias = bias_of(begin);
      const ColumnGradient gradient(bias, h.scale * kBase<bf16>, h.factor, s.shift, s.dots);
      tiles(0);
      for (size_t key = 0; key < n; key += kBlock) {
        if (key + kBlock < n) tiles(key + kBlock);
        h.ask_ahead(begin, key);
        const size_t at = key % (2 * kBlock) * kBlock, left = (key / kSide * query_steps + query_step) * kCell;
        gradient.compute(s.scores + at, s.products + at, key, min(kBlock, n - key), kept ? s.kept + key : nullptr, s.shares + left, s.gradients + left,
                         query_steps, s.gradient_pairs + key / kBlock * kCell, steps);
      }
      for (size_t channel = 0; channel < d; channel += kBlock) {
        block_product(steps, s.keys_transposed + channel / kSide * steps * kCell, steps, s.gradient_pairs, steps, s.sums);
        store_transposed(
            s.sums, [&](size_t) { return splat(h.scale); }, queries, d - channel, column_of,
            [&](size_t q) { return h.dq + h.place(begin + q) * h.row + channel; });
      }
    }
    right_tiles([&](size_t i) { return query_row(from + i); }, queries_kept, d, s.query_pairs);
    right_tiles([&](size_t i) { return dout_row(from + i); }, queries_kept, d, s.upstream_pairs);
    const bool first = from == 0, last = from + kQueriesKept >= n;
    sum_queries(n, d, query_steps, s.gradients, s.query_pairs, h.scale, s.sums, s.dk, first, last, [&](size_t i) { return h.dk + h.place(i) * h.row; });
    sum_queries(n, d, query_steps, s.shares, s.upstream_pairs, 1, s.sums, s.dv, first, last, [&](size_t i) { return h.dv + h.place(i) * h.row; });
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
