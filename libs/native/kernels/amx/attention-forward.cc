// Attention of one head for bf16, in tiles; fp32 goes to the vector kernel. attention-tiles.h says how tiles and vectors share the work.
//
// A block of 32 queries is multiplied by all keys. Its scores exist only in scratch memory (197 × 32 floats), the softmax sees whole columns of
// them, and 1/Σ is applied to the sums.
#include "kernels/amx/attention-softmax.h"

namespace dropstream {
namespace DROPSTREAM_BASE {
void attention(const AttentionArgs&, size_t job_begin, size_t job_end, float* scratch);
size_t attention_scratch(size_t tokens, size_t head_dim, Type type);
}
namespace DROPSTREAM_ISA {

namespace {

struct ForwardTiles {
  char *keys, *values, *queries, *probabilities;
  float *scores, *sums, *factors;
  uint32_t* kept;
  uint8_t* bits;
  DS_INLINE ForwardTiles(Carve& carve, size_t n, size_t d) {
    keys = carve.take<char>(cells_of(n, d));
    values = carve.take<char>(cells_of(d, n));
    queries = carve.take<char>(cells_of(kBlock, d));
    probabilities = carve.take<char>(cells_of(kBlock, n));
    scores = carve.take(round_up(n, kBlock) * kBlock);
    sums = carve.take(kBlock * kBlock);
    factors = carve.take(kBlock);
    kept = carve.take<uint32_t>(kept_words(n));
    bits = carve.take<uint8_t>(drawn_bytes(kBlock * n + 64));
  }
};

}  // namespace

void attention(const AttentionArgs& p, size_t job_begin, size_t job_end, float* scratch) {
  if (p.qkv.type == Type::fp32) return DROPSTREAM_BASE::attention(p, job_begin, job_end, scratch);
  const size_t n = p.tokens, d = p.head_dim, depth = ceil_div(d, kBlock), steps = ceil_div(n, kBlock), out_row = p.heads * d;
  const float slope = p.scale * kBase<bf16>;
  Carve carve{at_line(scratch)};
  const ForwardTiles s(carve, n, d);
  for (size_t job = job_begin; job < job_end; job++) {
    const Head<bf16> h(p, p.qkv.halves(), job);
    left_tiles([&](size_t i) { return h.k + i * h.row; }, n, d, s.keys);
    left_tiles_transposed([&](size_t i) { return h.v + i * h.row; }, n, d, s.values);
    for (size_t begin = 0; begin < n; begin += kBlock) {
      const size_t queries = min(kBlock, n - begin);
      right_tiles_transposed([&](size_t i) { return h.q + i * h.row; }, begin, n, d, s.queries);
      const KeptRows kept(p, h, begin, queries, s.bits);
      if (kept) kept_by_key(kept, queries, n, s.kept);
      ColumnSoftmax softmax;
      for (size_t key = 0; key < n; key += kBlock) {
        score_block(key, n, depth, s.keys, s.queries, s.scores + key * kBlock);
        if (key) softmax.see(s.scores + (key - kBlock) * kBlock, kBlock);
      }
      softmax.see(s.scores + (steps - 1) * kBlock * kBlock, n - (steps - 1) * kBlock);
      softmax.begin(slope);
      for (size_t key = 0; key < n; key += kBlock)
        softmax.raise(s.scores + key * kBlock, min(kBlock, n - key), kept ? s.kept + key : nullptr, p.site.scale, s.probabilities + key / kBlock * kCell, steps);
      float lse[kBlock];
      softmax.end(p.scale, lse, s.factors);
      memcpy(p.lse + job * n + begin, lse, queries * sizeof(float));
      bf16* out = p.out.halves() + (h.sample * n + begin) * out_row + h.head * d;
      for (size_t channel = 0; channel < d; channel += kBlock) {
        block_product(steps, s.values + channel / kSide * steps * kCell, steps, s.probabilities, steps, s.sums);
        store_transposed(
            s.sums, s.factors, queries, d - channel, in_order, [&](size_t q) { return out + q * out_row + channel; });
      }
    }
  }
}

size_t attention_scratch(size_t tokens, size_t head_dim, Type type) {
  if (type == Type::fp32) return DROPSTREAM_BASE::attention_scratch(tokens, head_dim, type);
  Carve carve{nullptr};
  ForwardTiles(carve, tokens, head_dim);
  return carve.floats() + kLineFloats;
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
