// Attention of one head: out = dropout(softmax(scale·q·kᵀ))·v, lse = log Σ exp(scale·q·kᵀ), for sequences of 17 to some thousand tokens.
//
// Blocks of 48 queries against all keys: the block of scores (48 × 208 floats at 197 tokens) lives in L1/L2 scratch only, a whole softmax
// row at a time (no online rescaling needed at these lengths). Unnormalised probabilities go into the second product; 1/Σ is applied to
// its head_dim columns instead of to the keys. 51 µs a head of 197 × 64 with AVX-512 on one Zen 5 core, 67 with dropout.
#include "kernels/attention/head.h"
#include "kernels/simd/functions.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

size_t attention_scratch(size_t tokens, size_t head_dim, bool backward) {
  const size_t by_key = packed_floats(head_dim, tokens), by_channel = packed_floats(tokens, head_dim);
  const size_t stride = score_stride(tokens);
  const size_t floats = backward ? 2 * by_key + by_channel + 2 * packed_floats(kQueryBlockGrad, head_dim) + 2 * kQueryBlockGrad * stride + factor_floats(tokens)
                                 : by_key + by_channel + kQueryBlock * stride + factor_floats(tokens);
  return floats + 8 * 16;
}

// scores[n] → exp(scale·(score − max)) in place; returns Σ and the maximum of scale·score.
static DS_INLINE float softmax_row(float* scores, size_t n, float scale, float* peak) {
  Vec top = splat(-__builtin_inff());
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) top = larger(top, load(scores + i));
  if (i < n) top = larger(top, load_part_or(scores + i, n - i, top));
  const float highest = max_lanes(top);
  const Vec factor = splat(scale), shift = splat(-highest * scale);
  Vec sum = zero();
  for (i = 0; i + kLanes <= n; i += kLanes) {
    const Vec e = exponential(fma(load(scores + i), factor, shift));
    store(scores + i, e);
    sum += e;
  }
  if (const size_t rest = n - i) {
    // Lanes beyond the row have score −∞, so they add nothing to the sum.
    const Vec e = exponential(fma(load_part_or(scores + i, rest, splat(-__builtin_inff())), factor, shift));
    store_part(scores + i, e, rest);
    sum += e;
  }
  *peak = highest * scale;
  return sum_lanes(sum);
}

void attention(const AttentionArgs& p, size_t job_begin, size_t job_end, float* scratch) {
  const size_t n = p.tokens, d = p.head_dim, stride = score_stride(n), out_row = p.heads * d;
  Carve carve{scratch};
  float* keys = carve.take(packed_floats(d, n));
  float* values = carve.take(packed_floats(n, d));
  float* scores = carve.take(kQueryBlock * stride);
  float* factor_buffer = carve.take(factor_floats(n));
  for (size_t job = job_begin; job < job_end; job++) {
    const Head h(p, job);
    pack_columns({d, n, h.k, h.row, keys}, 0, panel_count(n));
    pack_rows({n, d, h.v, h.row, values}, 0, panel_count(d), 0, n);
    for (size_t i = 0; i < n; i += kQueryBlock) {
      const size_t rows = smaller(kQueryBlock, n - i);
      float sums[kQueryBlock], peaks[kQueryBlock];
      head_product(rows, d, n, h.q + i * h.row, h.row, false, keys, scores, stride, false);
      RowFactors row_factors(p, h, i, i + rows, factor_buffer);
      for (size_t r = 0; r < rows; r++) {
        float* row = scores + r * stride;
        sums[r] = softmax_row(row, n, p.scale, &peaks[r]);
        if (const float* factors = row_factors.of(i + r))
          for_vectors(n, [&](size_t j, auto io) { io.put(row + j, io.get(row + j) * io.get(factors + j)); });
      }
      float* lse = p.lse + job * n + i;
      for_vectors(rows, [&](size_t r, auto io) {
        const Vec sum = io.get(sums + r);
        io.put(lse + r, io.get(peaks + r) + log_positive(sum));
        io.put(sums + r, splat(1.0f) / sum);
      });
      float* out = p.out + (h.sample * n + i) * out_row + h.head * d;
      head_product(rows, n, d, scores, stride, false, values, out, out_row, false);
      for (size_t r = 0; r < rows; r++) {
        const Vec f = splat(sums[r]);
        for_vectors(d, [&](size_t j, auto io) { io.put(out + r * out_row + j, io.get(out + r * out_row + j) * f); });
      }
    }
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
