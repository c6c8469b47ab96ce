// What happens to a block of a product while it is still in the cache: nothing, GELU, or the gradient of GELU. A separate pass over at
// most 48 × 64 elements: one reload from L1 instead of the function inlined into every tile shape.
#pragma once
#include "kernels/kernels.h"
#include "kernels/simd/functions.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

DS_INLINE void apply_epilogue(Epilogue epilogue, float* c, float* side, size_t stride, size_t rows, size_t columns) {
  if (epilogue == Epilogue::none) return;
  for (size_t i = 0; i < rows; i++) {
    float* row = c + i * stride;
    float* other = side ? side + i * stride : nullptr;
    if (epilogue == Epilogue::gelu_slope)
      for_vectors(columns, [&](size_t j, auto io) { io.put(row + j, io.get(row + j) * gelu_slope(io.get(other + j))); });
    else if (other)
      for_vectors(columns, [&](size_t j, auto io) {
        const Vec x = io.get(row + j);
        io.put(other + j, x);
        io.put(row + j, gelu(x));
      });
    else
      for_vectors(columns, [&](size_t j, auto io) { io.put(row + j, gelu(io.get(row + j))); });
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
