// The last steps on a block of a product while it is still in the cache: GELU, or the multiplication by GELU's derivative, from the fp32
// sums, and rounding to the type of c. The forward pass saves the derivative of GELU instead of its argument. Both need the same expensive
// tail function, so the backward pass only has to multiply (linear_input_grad at ViT-T's shapes: from 374 to 486 GFLOP/s of a peak of 520;
// the forward pass: from 468 to 446). It is a separate pass over at most 48 × 64 elements, which costs one reload from L1 but does not
// inline the function into every tile shape.
#pragma once
#include "kernels/kernels.h"
#include "simd/functions.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// Prefetches a block of saved values before the product, which takes about as long as the loads do. The values come from memory, two cache
// lines per row and with a large stride, and the epilogue would otherwise wait for them (from 232 to 357 GFLOP/s for ViT-T's first gradient
// through GELU). Writing the results needs no prefetch.
template <class Side>
DS_INLINE void prefetch_block(const Side* side, size_t stride, size_t rows, size_t columns) {
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < columns; j += 64 / sizeof(Side)) __builtin_prefetch(side + i * stride + j);
}

// `sum` may be the same memory as c. `side` has the stride of c; it may be null, except for times_side.
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
