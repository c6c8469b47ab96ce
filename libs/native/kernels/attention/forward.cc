// Attention of one head: out = dropout(softmax(scale·q·kᵀ))·v, lse = log Σ exp(scale·q·kᵀ), for sequences of 17 to a few thousand tokens.
//
// A block of 48 queries is processed against all keys. Its scores (48 × 208 floats at 197 tokens) exist only in scratch memory in L1 and
// L2, and the softmax sees whole rows, because online rescaling is not needed at these lengths. The second product takes unnormalised
// probabilities (rounded first if the tensors are bf16; in place of the scores if they are fp32), and 1/Σ is applied to the head_dim
// columns of its result instead of to all keys. A head of 197 × 64 with AVX-512 on one Zen 5 core takes 48 µs in fp32 (56 with dropout) and
// 24 µs in bf16 (32 with dropout, of which drawing the bits takes 7).
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

// Replaces `Rows` rows of n scores by probabilities exp(scale·(score − max)), where kept ones are multiplied by `factor`. Also returns each
// row's sum without dropout and its maximum of scale·score. Several rows are processed side by side, because one row's maximum and sum
// would leave the vector units waiting.
template <size_t Rows, class T>
DS_INLINE void softmax_rows(const float* scores, T* probabilities, size_t stride, size_t n, float scale, const KeptRows& kept, size_t row, float factor,
                            float* sums, float* peaks) {
  constexpr float kLeast = -__builtin_inff();
  const size_t whole = n / kLanes * kLanes, rest = n - whole;
  const Vec slope = splat(scale * kBase<T>), one = splat(factor);
  Vec top[Rows], shift[Rows], sum[Rows];
#pragma GCC unroll 4
  for (size_t r = 0; r < Rows; r++) top[r] = rest ? load_part_or(scores + r * stride + whole, rest, splat(kLeast)) : splat(kLeast);
  for (size_t i = 0; i < whole; i += kLanes)
#pragma GCC unroll 4
    for (size_t r = 0; r < Rows; r++) top[r] = max(top[r], load(scores + r * stride + i));
#pragma GCC unroll 4
  for (size_t r = 0; r < Rows; r++) {
    const float highest = max_lanes(top[r]);
    shift[r] = splat(-highest * scale * kBase<T>);
    peaks[r] = highest * scale;
    sum[r] = zero();
  }
  const auto put = [&](size_t r, size_t at, Vec score) {
    const Vec e = raise<T>(fma(score, slope, shift[r]));
    sum[r] += e;
    return kept ? e * keep(one, kept.of(row + r, at)) : e;
  };
  for (size_t i = 0; i < whole; i += kLanes)
#pragma GCC unroll 4
    for (size_t r = 0; r < Rows; r++) store(probabilities + r * stride + i, put(r, i, load(scores + r * stride + i)));
  // Lanes beyond the row have score −∞, so they add nothing to the sum, and zeros to a stride of whole vectors.
  if (rest)
#pragma GCC unroll 4
    for (size_t r = 0; r < Rows; r++) {
      const Vec last = put(r, whole, load_part_or(scores + r * stride + whole, rest, splat(kLeast)));
      if constexpr (sizeof(T) == sizeof(float))
        store_part(probabilities + r * stride + whole, last, rest);
      else
        store(probabilities + r * stride + whole, last);
    }
#pragma GCC unroll 4
  for (size_t r = 0; r < Rows; r++) sums[r] = sum_lanes(sum[r]);
}

template <class T>
void attention_of(const AttentionArgs& p, const T* qkv, T* result, size_t job_begin, size_t job_end, float* scratch) {
  const size_t n = p.tokens, d = p.head_dim, stride = score_stride(n), out_row = p.heads * d;
  Carve carve{scratch};
  const ForwardScratch<T> s(carve, n, d);
  for (size_t job = job_begin; job < job_end; job++) {
    const Head<T> h(p, qkv, job);
    pack_right_transposed(d, n, h.k, h.row, s.keys);
    pack_right(n, d, h.v, h.row, s.values);
    for (size_t i = 0; i < n; i += kQueryBlock) {
      const size_t rows = min(kQueryBlock, n - i);
      float sums[kQueryBlock], peaks[kQueryBlock];
      head_product<false>(rows, d, n, h.q + i * h.row, h.row, s.keys, s.scores, stride);
      const KeptRows kept(p, h, i, rows, s.bits);
      size_t r = 0;
      for (; r + 4 <= rows; r += 4)
        softmax_rows<4>(s.scores + r * stride, s.probabilities + r * stride, stride, n, p.scale, kept, r, p.site.scale, sums + r, peaks + r);
      for (; r < rows; r++)
        softmax_rows<1>(s.scores + r * stride, s.probabilities + r * stride, stride, n, p.scale, kept, r, p.site.scale, sums + r, peaks + r);
      float* lse = p.lse + job * n + i;
      for_vectors(rows, [&](size_t q, auto io) {
        const Vec sum = io.get(sums + q);
        io.put(lse + q, io.get(peaks + q) + log_positive(sum));
        io.put(sums + q, splat(1.0f) / sum);
      });
      T* out = result + (h.sample * n + i) * out_row + h.head * d;
      head_product<false>(rows, n, d, s.probabilities, stride, s.values, s.sums, d);
      for (size_t q = 0; q < rows; q++) {
        const Vec f = splat(sums[q]);
        for_vectors(d, [&](size_t j, auto io) { io.put(out + q * out_row + j, io.get(s.sums + q * d + j) * f); });
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
