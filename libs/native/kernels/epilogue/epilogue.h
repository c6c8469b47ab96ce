// What happens to a block of a product while it is still in the cache: rounding to c's type, GELU, or the factors of GELU's gradient, from
// the fp32 sums. GELU leaves its slope, not its argument: both share the costly tail, and the backward pass is left with a product
// (linear_input_grad at ViT-T's shapes: 374 → 486 GFLOP/s of 520, forward 468 → 446). A separate pass over at most 48 × 64 elements: one
// reload from L1 instead of the function inlined into every tile shape.
#pragma once
#include "kernels/kernels.h"
#include "simd/functions.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// Asks for a block of saved values before the product that takes as long as they do: from memory, two lines a row and far apart, they
// would otherwise stop the epilogue (232 → 357 GFLOP/s for ViT-T's first gradient through GELU; results are written well without).
template <class Side>
DS_INLINE void prefetch_block(const Side* side, size_t stride, size_t rows, size_t columns) {
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < columns; j += 64 / sizeof(Side)) __builtin_prefetch(side + i * stride + j);
}

// sum may be c. side (of c's stride) may be null, but not for times_side.
template <class C, class Side>
void apply_epilogue(Epilogue epilogue, const float* sum, size_t sum_stride, C* c, Side* side, size_t stride, size_t rows, size_t columns) {
  for (size_t i = 0; i < rows; i++) {
    const float* from = sum + i * sum_stride;
    C* row = c + i * stride;
    Side* other = side ? side + i * stride : nullptr;
    if (epilogue == Epilogue::none)
      for_vectors(columns, [&](size_t j, auto io) { io.put(row + j, io.get(from + j)); });
    else if (epilogue == Epilogue::times_side)
      for_vectors(columns, [&](size_t j, auto io) { io.put(row + j, io.get(from + j) * io.get(other + j)); });
    else if (other)
      for_vectors(columns, [&](size_t j, auto io) {
        const Vec x = io.get(from + j);
        io.put(other + j, gelu_slope_for<Side>(x));
        io.put(row + j, gelu_for<C>(x));
      });
    else
      for_vectors(columns, [&](size_t j, auto io) { io.put(row + j, gelu_for<C>(io.get(from + j))); });
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
