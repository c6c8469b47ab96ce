// Elementwise kernels. They are limited by memory, so plain vector loops are enough. y may be x (or a), because every element is read
// before it is written.
#include "kernels/declare.h"
#include "simd/functions.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

void gelu(In from, Out to, size_t n) {
  with_types(from, to, [=](auto* x, auto* y) { for_vectors(n, [=](size_t i, auto io) { io.put(y + i, gelu(io.get(x + i))); }); });
}

void gelu_grad(In from, In upstream, Out to, size_t n) {
  with_types(from, upstream, to,
             [=](auto* x, auto* dy, auto* dx) { for_vectors(n, [=](size_t i, auto io) { io.put(dx + i, io.get(dy + i) * gelu_slope(io.get(x + i))); }); });
}

void add(In left, In right, Out to, size_t n) {
  with_types(left, right, to, [=](auto* a, auto* b, auto* y) { for_vectors(n, [=](size_t i, auto io) { io.put(y + i, io.get(a + i) + io.get(b + i)); }); });
}

void multiply(In left, In right, Out to, size_t n) {
  with_types(left, right, to, [=](auto* a, auto* b, auto* y) { for_vectors(n, [=](size_t i, auto io) { io.put(y + i, io.get(a + i) * io.get(b + i)); }); });
}

void add_scaled(In left, In right, float factor, Out to, size_t n) {
  const Vec f = splat(factor);
  with_types(left, right, to, [=](auto* a, auto* b, auto* y) { for_vectors(n, [=](size_t i, auto io) { io.put(y + i, io.get(a + i) + f * io.get(b + i)); }); });
}

void scale(In from, float factor, Out to, size_t n) {
  const Vec f = splat(factor);
  with_types(from, to, [=](auto* x, auto* y) { for_vectors(n, [=](size_t i, auto io) { io.put(y + i, f * io.get(x + i)); }); });
}

void copy(In from, Out to, size_t n) {
  if (from.type == to.type) {
    memmove(to.at, from.at, n * size_of(to.type));
    return;
  }
  with_types(from, to, [=](auto* x, auto* y) { for_vectors(n, [=](size_t i, auto io) { io.put(y + i, io.get(x + i)); }); });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
