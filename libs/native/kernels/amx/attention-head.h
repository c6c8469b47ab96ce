// What a kernel in tiles knows of one head of attention.
#pragma once
#include "kernels/amx/attention-tiles.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// Token i of the head is row place(i) of q, k and v (`row` elements apart), of out and dout (`out_row` apart) and of dq, dk and dv (`row`
// apart). `factor` belongs to probabilities that dropout keeps.
template <class Place>
struct TiledHead {
  size_t tokens, head_dim;
  Place place;
  float scale, factor;
  const bf16 *q, *k, *v;
  size_t row;
  bf16* out;
  size_t out_row;
  float* lse;
  const bf16* dout = nullptr;
  bf16 *dq = nullptr, *dk = nullptr, *dv = nullptr;
  // How far the next head is from this one, in q, k and v, and in out and dout. 0: nothing is asked for ahead.
  ptrdiff_t next = 0, next_out = 0;

  // Called for each block of keys of each block of tokens, asks for a part of what the next head reads of these tokens. A head begins with all keys and values, and a row of them is far from the last one, so the
  // processor does not foresee them: the heads of 8 samples of vit_tiny take 30 us less on two cores, forward and backward each.
  DS_INLINE void ask_ahead(size_t begin, size_t key) const {
    if (next == 0) return;
    const size_t share = ceil_div(kBlock, ceil_div(tokens, kBlock)), first = begin + key / kBlock * share;
    for (size_t i = first; i < min(first + share, min(begin + kBlock, tokens)); i++)
      for (size_t channel = 0; channel < head_dim; channel += 64 / sizeof(bf16)) {
        const ptrdiff_t at = next + (ptrdiff_t)(place(i) * row + channel), at_out = next_out + (ptrdiff_t)(place(i) * out_row + channel);
        __builtin_prefetch(q + at, 0, 2);
        __builtin_prefetch(k + at, 0, 2);
        __builtin_prefetch(v + at, 0, 2);
        if (!dout) continue;
        __builtin_prefetch(dout + at_out, 0, 2);
        __builtin_prefetch(out + at_out, 0, 2);
      }
  }
};

// What is added to scores, times log2 e. Scores of whole attention have no bias.
struct NoBias {
  static constexpr bool kAny = false;
};

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
