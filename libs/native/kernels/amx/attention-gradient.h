// The gradient of the scores of a block, scores[key][32 queries], for attention in tiles.
#pragma once
#include "kernels/amx/attention-tiles.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// By what scores are multiplied in the exponent of 2, by what dS is multiplied, and the factor of kept probabilities.
struct Steepness {
  float slope, scale, factor;
};

// For one block of queries: P = exp2(slope·score + shift) and dS = P·(scale·F·product + dot), where `product` is dout·vᵀ.
class ColumnGradient {
 public:
  DS_INLINE ColumnGradient(const Steepness& steepness, const float* shift, const float* dot) : steepness_(steepness) {
    load_row(shift, shift_);
    load_row(dot, dot_);
  }
  // Writes P·F and dS of up to 32 keys: as rows of two left tiles, `left_stride` tiles apart, and dS also as a step of two right tiles,
  // `pair_stride` tiles apart, whose columns are in the order of column_of. Rows beyond the last key are zeros. `words` says which
  // probabilities are kept; null if all are.
  DS_INLINE void compute(const float* scores, const float* products, size_t keys, const uint32_t* words, char* shares, char* gradients, size_t left_stride,
                         char* pairs, size_t pair_stride) const {
    const Vec slope = splat(steepness_.slope), scale = splat(steepness_.scale), factor = splat(steepness_.factor), both = scale * factor;
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
          const Vec raised = power_of_two(fma(load(scores + at), slope, shift_[i]));
          Vec up = load(products + at);
          if (words) {
            const uint32_t bit = 1u << key;
            p[i] = keep_lanes(raised * factor, words + i * kLanes, bit);
            g[i] = raised * fma(keep_lanes(up, words + i * kLanes, bit), both, dot_[i]);
          } else {
            p[i] = raised;
            g[i] = raised * fma(up, scale, dot_[i]);
          }
        }
        ds[r] = round_halves(g);
        store_halves(shares + to, round_halves(p));
        store_halves(gradients + to, ds[r]);
      }
      store_pairs(pairs, pairs + pair_stride * kCell, ds[0], ds[1]);
    }
  }

 private:
  Steepness steepness_;
  Vec shift_[kAcross], dot_[kAcross];
};

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
