// One head's attention in tiles: out = dropout(softmax(scale·q·kᵀ + bias))·v. attention-tiles.h says how tiles and vectors share the work.
//
// A block of 32 queries is multiplied by all keys. Its scores exist only in scratch memory (197 × 32 floats), the softmax sees whole columns of
// them, and 1/Σ is applied to the sums.
#pragma once
#include "kernels/amx/attention-head.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

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

// The softmax of a block of transposed scores, scores[key][32 queries]. Keys are seen a block at a time, first for the maxima (see), then for
// the probabilities 2^(score − maximum) (raise). A score is scaled and has its bias in see, if there is one, and else is scaled in raise.
template <class Bias>
class ColumnSoftmax {
 public:
  DS_INLINE ColumnSoftmax(const Bias& bias, float slope) : bias_(bias), slope_(splat(slope)) {
    for (size_t i = 0; i < kAcross; i++) sum_[i] = zero();
    for (size_t chain = 0; chain < kChains; chain++)
      for (size_t i = 0; i < kAcross; i++) top_[chain][i] = splat(-__builtin_inff());
  }
  DS_INLINE void see(float* scores, size_t first, size_t keys) {
    size_t k = 0;
    for (; k + kChains <= keys; k += kChains)
#pragma GCC unroll 4
      for (size_t chain = 0; chain < kChains; chain++) see_row(scores + (k + chain) * kBlock, first + k + chain, top_[chain]);
    for (; k < keys; k++) see_row(scores + k * kBlock, first + k, top_[0]);
  }
  DS_INLINE void end_of_seeing() {
    for (size_t i = 0; i < kAcross; i++) {
      for (size_t chain = 1; chain < kChains; chain++) top_[0][i] = max(top_[0][i], top_[chain][i]);
      if constexpr (!Bias::kAny) top_[0][i] *= slope_;
    }
  }
  // Writes one step of two right tiles, `stride` tiles apart, with zeros beyond the last key. If `words` (which probabilities are kept) is not
  // null, kept ones are multiplied by `factor`. The sums know nothing of dropout.
  DS_INLINE void raise(const float* scores, size_t keys, const uint32_t* words, float factor, char* tiles, size_t stride) {
    const Vec f = splat(factor);
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
          const Vec score = load(scores + (k + r) * kBlock + i * kLanes);
          e[r][i] = power_of_two(Bias::kAny ? score - top_[0][i] : fma(score, slope_, zero() - top_[0][i]));
          sum_[i] += e[r][i];
          if (words) e[r][i] = keep_lanes(e[r][i] * f, words + i * kLanes, 1u << (k + r));
        }
      }
      constexpr size_t kHalf = kAcross / 2;
#pragma GCC unroll 8
      for (size_t i = 0; i < kAcross; i++) store((float*)(tiles + i / kHalf * stride * kCell) + i % kHalf * kLanes, pair_up<float>(e[0][i], e[1][i]));
    }
  }
  // Each column's ln Σ exp(score), and 1/Σ of its probabilities.
  DS_INLINE void end(float* lse, float* factors) const {
    for (size_t i = 0; i < kAcross; i++) {
      store(lse + i * kLanes, fma(top_[0][i], splat(1 / kBase<bf16>), log_positive(sum_[i])));
      store(factors + i * kLanes, splat(1.0f) / sum_[i]);
    }
  }

 private:
  static constexpr size_t kChains = 4;  // one chain of maxima would wait for itself
  const Bias& bias_;
  Vec slope_, top_[kChains][kAcross], sum_[kAcross];

  DS_INLINE void see_row(float* scores, size_t key, Vec (&top)[kAcross]) {
#pragma GCC unroll 8
    for (size_t i = 0; i < kAcross; i++) {
      Vec score = load(scores + i * kLanes);
      if constexpr (Bias::kAny) {
        score = bias_(fma(score, slope_, bias_.of(key, i)), key, i);
        store(scores + i * kLanes, score);
      }
      top[i] = max(top[i], score);
    }
  }
};

// `kept(begin, queries)` says which probabilities of a block of queries are kept, and `bias(begin)` what is added to its scores.
template <class Place, class Kept, class Biases>
DS_INLINE void forward_head(const TiledHead<Place>& h, const ForwardTiles& s, Kept kept_of, Biases bias_of) {
  const size_t n = h.tokens, d = h.head_dim, depth = ceil_div(d, kBlock), steps = ceil_div(n, kBlock);
  left_tiles([&](size_t i) { return h.k + h.place(i) * h.row; }, n, d, s.keys);
  left_tiles_transposed([&](size_t i) { return h.v + h.place(i) * h.row; }, n, d, s.values);
  for (size_t begin = 0; begin < n; begin += kBlock) {
    const size_t queries = min(kBlock, n - begin);
    right_tiles_transposed([&](size_t i) { return h.q + h.place(i) * h.row; }, begin, n, d, s.queries);
    const auto kept = kept_of(begin, queries);
    if (kept) kept_by_key(kept, queries, n, s.kept);
    const auto bias = bias_of(begin);
    ColumnSoftmax softmax(bias, h.scale * kBase<bf16>);
    score_block(0, n, depth, s.keys, s.queries, s.scores);
    for (size_t key = 0; key < n; key += kBlock) {
      // The tile unit has begun with the next keys when the vectors look at these.
      if (key + kBlock < n) score_block(key + kBlock, n, depth, s.keys, s.queries, s.scores + (key + kBlock) * kBlock);
      softmax.see(s.scores + key * kBlock, key, min(kBlock, n - key));
    }
    softmax.end_of_seeing();
    for (size_t key = 0; key < n; key += kBlock) {
      h.ask_ahead(begin, key);
      softmax.raise(s.scores + key * kBlock, min(kBlock, n - key), kept ? s.kept + key : nullptr, h.factor, s.probabilities + key / kBlock * kCell, steps);
    }
    float lse[kBlock];
    softmax.end(lse, s.factors);
    memcpy(h.lse + begin, lse, queries * sizeof(float));
    for (size_t channel = 0; channel < d; channel += kBlock) {
      block_product(steps, s.values + channel / kSide * steps * kCell, steps, s.probabilities, steps, s.sums);
      store_transposed(
          s.sums, [&](size_t column) { return load(s.factors + column); }, queries, d - channel, in_order,
          [&](size_t q) { return h.out + h.place(begin + q) * h.out_row + channel; });
    }
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
