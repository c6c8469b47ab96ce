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
};

// What is added to scores, times log2 e. Scores of whole attention have no bias.
struct NoBias {
  static constexpr bool kAny = false;
};

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
