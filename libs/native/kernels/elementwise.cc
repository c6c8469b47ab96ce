// Maps over spans: bound by memory, so nothing but straight vector loops. y may be x (or a): every element is read before it is written.
#include "kernels/declare.h"
#include "kernels/simd/functions.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

void gelu_forward(const float* x, float* y, size_t n) {
  for_vectors(n, [=](size_t i, auto io) { io.put(y + i, gelu(io.get(x + i))); });
}

void gelu_grad(const float* x, const float* dy, float* dx, size_t n) {
  for_vectors(n, [=](size_t i, auto io) { io.put(dx + i, io.get(dy + i) * gelu_slope(io.get(x + i))); });
}

void add(const float* a, const float* b, float* y, size_t n) {
  for_vectors(n, [=](size_t i, auto io) { io.put(y + i, io.get(a + i) + io.get(b + i)); });
}

void add_scaled(const float* a, const float* b, float factor, float* y, size_t n) {
  const Vec f = splat(factor);
  for_vectors(n, [=](size_t i, auto io) { io.put(y + i, io.get(a + i) + f * io.get(b + i)); });
}

void scale(const float* x, float factor, float* y, size_t n) {
  const Vec f = splat(factor);
  for_vectors(n, [=](size_t i, auto io) { io.put(y + i, f * io.get(x + i)); });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
