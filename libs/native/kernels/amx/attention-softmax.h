// Softmax over the keys of a block of transposed scores, scores[key][32 queries], for attention in tiles.
#pragma once
#include "kernels/amx/attention-tiles.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// Keys are seen a block at a time, first for the maxima (see), then for the probabilities exp2(slope·(score − maximum)) (raise).
class ColumnSoftmax {
 public:
  DS_INLINE ColumnSoftmax() {
    for (size_t i = 0; i < kAcross; i++) sum_[i] = zero();
    for (size_t chain = 0; chain < kChains; chain++)
      for (size_t i = 0; i < kAcross; i++) top_[chain][i] = splat(-__builtin_inff());
  }
  DS_INLINE void see(const float* scores, size_t keys) {
    size_t k = 0;
    for (; k + kChains <= keys; k += kChains)
#pragma GCC unroll 4
      for (size_t chain = 0; chain < kChains; chain++)
#pragma GCC unroll 8
        for (size_t i = 0; i < kAcross; i++) top_[chain][i] = max(top_[chain][i], load(scores + (k + chain) * kBlock + i * kLanes));
    for (; k < keys; k++)
      for (size_t i = 0; i < kAcross; i++) top_[0][i] = max(top_[0][i], load(scores + k * kBlock + i * kLanes));
  }
  DS_INLINE void begin(float slope) {
    slope_ = slope;
    for (size_t i = 0; i < kAcross; i++) {
      for (size_t chain = 1; chain < kChains; chain++) top_[0][i] = max(top_[0][i], top_[chain][i]);
      shift_[i] = top_[0][i] * splat(-slope);
    }
  }
  // Writes one step of two right tiles, `stride` tiles apart, with zeros beyond the last key. If `words` (which probabilities are kept) is not
  // null, kept ones are multiplied by `factor`. The sums know nothing of dropout.
  DS_INLINE void raise(const float* scores, size_t keys, const uint32_t* words, float factor, char* tiles, size_t stride) {
    const Vec slope = splat(slope_), f = splat(factor);
    for (size_t k = 0; k < kBlock; k += 2, tiles += 64) {
      Vec e[2][kAcross];
#pragma GCC unroll 2
      for (size_t r = 0; r < 2; r++) {
        if (k + r >= keys) {
#pragma GCC unroll 8
          for (size_t i = 0; i < kAcross; i++) e[r][i] = zero();
          continue;
        }
#pragma GCC unroll 8
        for (size_t i = 0; i < kAcross; i++) {
          e[r][i] = power_of_two(fma(load(scores + (k + r) * kBlock + i * kLanes), slope, shift_[i]));
          sum_[i] += e[r][i];
          if (words) e[r][i] = keep_lanes(e[r][i] * f, words + i * kLanes, 1u << (k + r));
        }
      }
      constexpr size_t kHalf = kAcross / 2;
#pragma GCC unroll 8
      for (size_t i = 0; i < kAcross; i++)
        store((float*)(tiles + i / kHalf * stride * kCell) + i % kHalf * kLanes, pair_up<float>(e[0][i], e[1][i]));
    }
  }
  // The logarithm of each column's sum of exp(scale·score), and 1/Σ of the probabilities.
  DS_INLINE void end(float scale, float* lse, float* factors) const {
    for (size_t i = 0; i < kAcross; i++) {
      store(lse + i * kLanes, fma(top_[0][i], splat(scale), log_positive(sum_[i])));
      store(factors + i * kLanes, splat(1.0f) / sum_[i]);
    }
  }

 private:
  static constexpr size_t kChains = 4;  // a chain of maxima would wait for itself
  Vec top_[kChains][kAcross], shift_[kAcross], sum_[kAcross];
  float slope_ = 1;
};

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
