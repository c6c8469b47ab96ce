// The gradient of attention of one head for bf16, in tiles; fp32 goes to the vector kernel. P are the probabilities, F the dropout factors,
// and D = Σ dout·out for each query:
//   dv = (P·F)ᵀ·dout;  dS = P·(F·(dout·vᵀ) − D)·scale;  dq = dS·k;  dk = dSᵀ·q.
//
// A block of 32 queries takes the scores and dout·vᵀ of 32 keys at a time, in 4 KiB each. The tiles of the next 32 keys are computed before the
// vectors of these, so that both units work at once. (P·F)ᵀ and dSᵀ are kept in bf16 for up to 256 queries, after which they are added to dv
// and dk: the sums of most sequences are made in tiles, without a round trip through memory.
#include "kernels/amx/attention-gradient.h"

namespace dropstream {
namespace DROPSTREAM_BASE {
void attention_grad(const AttentionArgs&, size_t job_begin, size_t job_end, float* scratch);
size_t attention_grad_scratch(size_t tokens, size_t head_dim, Type type);
}
namespace DROPSTREAM_ISA {

namespace {

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
    // Blocks of dk and dv need a place of their own only until the last queries have been added.
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

// to[key][channel] (+)= left · right for all keys, rounded if these are the last queries.
DS_INLINE void sum_queries(size_t n, size_t d, size_t steps, const char* left, const char* right, float* sums, float* all, bool first, bool last, bf16* to,
                           size_t row) {
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
      if (last) store_rounded(block, n - key, d - channel, [&](size_t i) { return to + (key + i) * row + channel; });
    }
}

}  // namespace

void attention_grad(const AttentionArgs& p, size_t job_begin, size_t job_end, float* scratch) {
  if (p.qkv.type == Type::fp32) return DROPSTREAM_BASE::attention_grad(p, job_begin, job_end, scratch);
  const size_t n = p.tokens, d = p.head_dim, depth = ceil_div(d, kBlock), steps = ceil_div(n, kBlock), out_row = p.heads * d;
  Carve carve{at_line(scratch)};
  const BackwardTiles s(carve, n, d);
  const Steepness steepness{p.scale * kBase<bf16>, p.scale, p.site.scale};
  for (size_t job = job_begin; job < job_end; job++) {
    const Head<bf16> h(p, p.qkv.halves(), job);
    const auto key_row = [&](size_t i) { return h.k + i * h.row; };
    left_tiles(key_row, n, d, s.keys);
    left_tiles([&](size_t i) { return h.v + i * h.row; }, n, d, s.values);
    left_tiles_transposed(key_row, n, d, s.keys_transposed);
    bf16* dq = p.dqkv.halves() + (h.q - p.qkv.halves());
    bf16 *dk = dq + p.heads * d, *dv = dk + p.heads * d;
    const bf16 *all_out = p.out.halves() + h.sample * n * out_row + h.head * d, *all_dout = p.dout.halves() + h.sample * n * out_row + h.head * d;
    for (size_t from = 0; from < n; from += kQueriesKept) {
      const size_t queries_kept = min(kQueriesKept, n - from), query_steps = ceil_div(queries_kept, kBlock);
      for (size_t begin = from; begin < from + queries_kept; begin += kBlock) {
        const size_t queries = min(kBlock, n - begin), query_step = (begin - from) / kBlock;
        const bf16 *out = all_out + begin * out_row, *dout = all_dout + begin * out_row;
        right_tiles_transposed([&](size_t i) { return h.q + i * h.row; }, begin, n, d, s.queries);
        right_tiles_transposed([&](size_t i) { return all_dout + i * out_row; }, begin, n, d, s.upstream);
        const KeptRows kept(p, h, begin, queries, s.bits);
        if (kept) kept_by_key(kept, queries, n, s.kept);
        for (size_t q = 0; q < kBlock; q++) {
          const bool inside = q < queries;
          s.shift[q] = inside ? -p.lse[job * n + begin + q] * kBase<bf16> : 0;
          s.dots[q] = inside ? -dot_product(out + q * out_row, dout + q * out_row, d) * p.scale : 0;
        }
        const auto tiles = [&](size_t key) {
          float *scores = s.scores + key % (2 * kBlock) * kBlock, *products = s.products + key % (2 * kBlock) * kBlock;
          score_block(key, n, depth, s.keys, s.queries, scores);
          score_block(key, n, depth, s.values, s.upstream, products);
        };
        const ColumnGradient gradient(steepness, s.shift, s.dots);
        tiles(0);
        for (size_t key = 0; key < n; key += kBlock) {
          if (key + kBlock < n) tiles(key + kBlock);
          const size_t left = (key / kSide * query_steps + query_step) * kCell;
          gradient.compute(s.scores + key % (2 * kBlock) * kBlock, s.products + key % (2 * kBlock) * kBlock, min(kBlock, n - key), kept ? s.kept + key : nullptr,
                           s.shares + left, s.gradients + left, query_steps, s.gradient_pairs + key / kBlock * kCell, steps);
        }
        for (size_t channel = 0; channel < d; channel += kBlock) {
          block_product(steps, s.keys_transposed + channel / kSide * steps * kCell, steps, s.gradient_pairs, steps, s.sums);
          store_transposed(s.sums, nullptr, queries, d - channel, column_of, [&](size_t q) { return dq + (begin + q) * h.row + channel; });
        }
      }
      right_tiles([&](size_t i) { return h.q + (from + i) * h.row; }, queries_kept, d, s.query_pairs);
      right_tiles([&](size_t i) { return all_dout + (from + i) * out_row; }, queries_kept, d, s.upstream_pairs);
      const bool first = from == 0, last = from + kQueriesKept >= n;
      sum_queries(n, d, query_steps, s.gradients, s.query_pairs, s.sums, s.dk, first, last, dk, h.row);
      sum_queries(n, d, query_steps, s.shares, s.upstream_pairs, s.sums, s.dv, first, last, dv, h.row);
    }
  }
}

size_t attention_grad_scratch(size_t tokens, size_t head_dim, Type type) {
  if (type == Type::fp32) return DROPSTREAM_BASE::attention_grad_scratch(tokens, head_dim, type);
  Carve carve{nullptr};
  BackwardTiles(carve, tokens, head_dim);
  return carve.floats() + kLineFloats;
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
