// Copies rows of a matrix into the words of a packed one: fp32 unchanged, bf16 with two rows interleaved.
#pragma once
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// out[j] = first[j]. Writes whole vectors, with zeros in columns beyond the last.
DS_INLINE void pack_step(const float* first, const float*, size_t columns, float* out) {
  for_vectors(columns, [&](size_t j, auto io) { store(out + j, io.get(first + j)); });
}
// out[j] = (first[j], second[j]), where fp32 is rounded. second is null for the missing last row of an odd k, which counts as zeros.
template <class Source>
DS_INLINE void pack_step(const Source* first, const Source* second, size_t columns, Pair* out) {
  if (second)
    for_vectors(columns, [&](size_t j, auto io) { store((float*)(out + j), pair_up<Source>(io.get(first + j), io.get(second + j))); });
  else
    for_vectors(columns, [&](size_t j, auto io) { store((float*)(out + j), pair_up<Source>(io.get(first + j), zero())); });
}

// Packs rows [0, k) of `columns` elements into words [steps_of(k)][out_stride], for a panel or a k-major left operand. out_stride ≥ columns
// rounded up to whole vectors.
template <class Source, class Word>
DS_INLINE void pack_block(size_t k, size_t columns, const Source* source, size_t stride, Word* out, size_t out_stride) {
  for (size_t r = 0; r < k; r += kSpan<Word>, out += out_stride) pack_step(source + r * stride, r + 1 < k ? source + (r + 1) * stride : nullptr, columns, out);
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
