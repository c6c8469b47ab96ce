// Layer scale: a factor per channel. Its gradient has one partial sum per fixed block of rows, as in layer norm.
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// y[r, c] = x[r, c] · gamma[c].
void layer_scale(In from, const float* gamma, Out to, size_t rows, size_t width) {
  with_types(from, to, [=](auto* x, auto* y) {
    for (size_t r = 0; r < rows; r++) for_vectors(width, [=](size_t i, auto io) { io.put(y + r * width + i, io.get(x + r * width + i) * io.get(gamma + i)); });
  });
}

// dx = dy · gamma; partial[block][width] = Σ dy · x over the block's rows.
void layer_scale_grad(const LayerScaleGradArgs& p, size_t block) {
  const size_t d = p.width, begin = block * p.rows_per_block, end = min(p.rows, begin + p.rows_per_block);
  float* dgamma = p.partial + block * d;
  memset(dgamma, 0, d * sizeof(float));
  with_types(p.x, p.dy, p.dx, [&](auto* x, auto* dy, auto* dx) {
    for (size_t r = begin; r < end; r++)
      for_vectors(d, [&](size_t i, auto io) {
        const Vec up = io.get(dy + r * d + i);
        io.put(dgamma + i, fma(up, io.get(x + r * d + i), io.get(dgamma + i)));
        io.put(dx + r * d + i, up * io.get(p.gamma + i));
      });
  });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
