// Rows of a matrix as words of a packed one: fp32 as they are, bf16 two rows side by side.
#pragma once
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// out[j] = first[j]. Whole vectors are written; columns beyond the last are zeros.
DS_INLINE void pack_step(const float* first, const float*, size_t columns, float* out) {
  for_vectors(columns, [&](size_t j, auto io) { store(out + j, io.get(first + j)); });
}
// out[j] = (first[j], second[j]), rounded where they are fp32; second: null for the row beyond an odd k's last, zeros.
template <class Source>
DS_INLINE void pack_step(const Source* first, const Source* second, size_t columns, Pair* out) {
  if (second)
    for_vectors(columns, [&](size_t j, auto io) { store((float*)(out + j), pair_up<Source>(io.get(first + j), io.get(second + j))); });
  else
    for_vectors(columns, [&](size_t j, auto io) { store((float*)(out + j), pair_up<Source>(io.get(first + j), zero())); });
}

// Rows [0, k) of `columns` elements as words [steps_of(k)][out_stride]: a panel, or a k-major left side. out_stride ≥ columns rounded up to vectors.
template <class Source, class Word>
DS_INLINE void pack_block(size_t k, size_t columns, const Source* source, size_t stride, Word* out, size_t out_stride) {
  for (size_t r = 0; r < k; r += kSpan<Word>, out += out_stride) pack_step(source + r * stride, r + 1 < k ? source + (r + 1) * stride : nullptr, columns, out);
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
