// Layer scale: a factor per channel, and its gradient with one partial sum per fixed block of rows (as layer norm's).
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// y[r, c] = x[r, c] · gamma[c].
void layer_scale(const float* x, const float* gamma, float* y, size_t rows, size_t width) {
  for (size_t r = 0; r < rows; r++) {
    const float* in = x + r * width;
    float* out = y + r * width;
    for_vectors(width, [&](size_t i, auto io) { io.put(out + i, io.get(in + i) * io.get(gamma + i)); });
  }
}

// dx = dy · gamma; partial[block][width] = Σ dy · x over the block's rows.
void layer_scale_grad(const LayerScaleGradArgs& p, size_t block) {
  const size_t d = p.width, begin = block * p.rows_per_block, end = smaller(p.rows, begin + p.rows_per_block);
  float* dgamma = p.partial + block * d;
  memset(dgamma, 0, d * sizeof(float));
  for (size_t r = begin; r < end; r++) {
    const float *x = p.x + r * d, *dy = p.dy + r * d;
    float* dx = p.dx + r * d;
    for_vectors(d, [&](size_t i, auto io) {
      const Vec up = io.get(dy + i);
      io.put(dgamma + i, fma(up, io.get(x + i), io.get(dgamma + i)));
      io.put(dx + i, up * io.get(p.gamma + i));
    });
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
