// Attention of one head: out = dropout(softmax(scale·q·kᵀ))·v, lse = log Σ exp(scale·q·kᵀ), for sequences of 17 to some thousand tokens.
//
// Blocks of 48 queries against all keys: the block of scores (48 × 208 floats at 197 tokens) lives in L1/L2 scratch only, a whole softmax
// row at a time (no online rescaling needed at these lengths). Unnormalised probabilities go into the second product (rounded there where
// tensors are bf16, over the scores where they are fp32); 1/Σ is applied to its head_dim columns instead of to the keys.
#include "kernels/attention/head.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

namespace {

template <class T>
struct ForwardScratch {
  Word<T>*keys, *values;
  float* scores;
  T* probabilities;
  float* sums;
  uint8_t* bits;
  DS_INLINE ForwardScratch(Carve& carve, size_t n, size_t d) {
    keys = carve.take<Word<T>>(packed_words<T>(d, n));
    values = carve.take<Word<T>>(packed_words<T>(n, d));
    scores = carve.take(kQueryBlock * score_stride(n));
    if constexpr (sizeof(T) == sizeof(float))
      probabilities = scores;
    else
      probabilities = carve.take<T>(kQueryBlock * score_stride(n));
    sums = carve.take(kQueryBlock * d);
    bits = carve.take<uint8_t>(drawn_bytes(kQueryBlock * n));
  }
};

// scores[n] → probabilities exp(scale·(score − max)) (kept ones · factor); returns Σ without dropout and the maximum of scale·score.
template <class T>
DS_INLINE float softmax_row(const float* scores, T* probabilities, size_t n, float scale, const KeptRows& kept, size_t row, float factor, float* peak) {
  Vec top = splat(-__builtin_inff());
  size_t i = 0;
  for (; i + kLanes <= n; i += kLanes) top = larger(top, load(scores + i));
  if (i < n) top = larger(top, load_part_or(scores + i, n - i, top));
  const float highest = max_lanes(top);
  const Vec slope = splat(scale * kBase<T>), shift = splat(-highest * scale * kBase<T>), one = splat(factor);
  Vec sum = zero();
  const auto put = [&](size_t at, Vec score) {
    const Vec e = raise<T>(fma(score, slope, shift));
    sum += e;
    return kept ? e * keep(one, kept.of(row, at)) : e;
  };
  for (i = 0; i + kLanes <= n; i += kLanes) store(probabilities + i, put(i, load(scores + i)));
  // Lanes beyond the row have score −∞, so they add nothing to the sum, and zeros to a stride of whole vectors.
  if (i < n) {
    const Vec last = put(i, load_part_or(scores + i, n - i, splat(-__builtin_inff())));
    if constexpr (sizeof(T) == sizeof(float))
      store_part(probabilities + i, last, n - i);
    else
      store(probabilities + i, last);
  }
  *peak = highest * scale;
  return sum_lanes(sum);
}

template <class T>
void attention_of(const AttentionArgs& p, const T* qkv, T* result, size_t job_begin, size_t job_end, float* scratch) {
  const size_t n = p.tokens, d = p.head_dim, stride = score_stride(n), out_row = p.heads * d;
  Carve carve{scratch};
  const ForwardScratch<T> s(carve, n, d);
  for (size_t job = job_begin; job < job_end; job++) {
    const Head<T> h(p, qkv, job);
    pack_right_turned(d, n, h.k, h.row, s.keys);
    pack_right(n, d, h.v, h.row, s.values);
    for (size_t i = 0; i < n; i += kQueryBlock) {
      const size_t rows = smaller(kQueryBlock, n - i);
      float sums[kQueryBlock], peaks[kQueryBlock];
      head_product<false>(rows, d, n, h.q + i * h.row, h.row, s.keys, s.scores, stride);
      const KeptRows kept(p, h, i, rows, s.bits);
      for (size_t r = 0; r < rows; r++)
        sums[r] = softmax_row(s.scores + r * stride, s.probabilities + r * stride, n, p.scale, kept, r, p.site.scale, &peaks[r]);
      float* lse = p.lse + job * n + i;
      for_vectors(rows, [&](size_t r, auto io) {
        const Vec sum = io.get(sums + r);
        io.put(lse + r, io.get(peaks + r) + log_positive(sum));
        io.put(sums + r, splat(1.0f) / sum);
      });
      T* out = result + (h.sample * n + i) * out_row + h.head * d;
      head_product<false>(rows, n, d, s.probabilities, stride, s.values, s.sums, d);
      for (size_t r = 0; r < rows; r++) {
        const Vec f = splat(sums[r]);
        for_vectors(d, [&](size_t j, auto io) { io.put(out + r * out_row + j, io.get(s.sums + r * d + j) * f); });
      }
    }
  }
}

}  // namespace

void attention(const AttentionArgs& p, size_t job_begin, size_t job_end, float* scratch) {
  if (p.qkv.type == Type::fp32)
    attention_of(p, p.qkv.floats(), p.out.floats(), job_begin, job_end, scratch);
  else
    attention_of(p, p.qkv.halves(), p.out.halves(), job_begin, job_end, scratch);
}

size_t attention_scratch(size_t tokens, size_t head_dim, Type type) {
  Carve carve{nullptr};
  if (type == Type::fp32)
    ForwardScratch<float>(carve, tokens, head_dim);
  else
    ForwardScratch<bf16>(carve, tokens, head_dim);
  return carve.floats();
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
