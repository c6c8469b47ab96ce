// Clip, optimizer and EMA for a range of one parameter in a single pass. Memory limits it (five streams in, four out), so everything is
// computed while an element is in a register. Also the sum of squares for the global norm, in float64 lanes.
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

template <OptimizerKind Kind>
static void update_span(const UpdateArgs& p, size_t begin, size_t end) {
  const Vec clip = splat(p.clip_factor), decay = splat(p.decay), step = splat(p.step_size);
  const Vec b1 = splat(p.beta1), c1 = splat(p.one_minus_beta1), b2 = splat(p.beta2), c2 = splat(p.one_minus_beta2);
  const Vec root_scale = splat(p.second_scale), eps = splat(p.eps), momentum = splat(p.momentum);
  const Vec ema_decay = splat(p.ema_decay), ema_rest = splat(p.one_minus_ema_decay);
  for_vectors(end - begin, [&](size_t i, auto io) {
    const size_t e = begin + i;
    Vec w = io.get(p.weight + e), g = io.get(p.gradient + e) * clip;
    if (Kind == OptimizerKind::adamw) {
      w = w * decay;
      const Vec m = fma(b1, io.get(p.first + e), c1 * g);
      const Vec v = fma(b2, io.get(p.second + e), c2 * g * g);
      io.put(p.first + e, m);
      io.put(p.second + e, v);
      w = w - step * m / (square_root(v) / root_scale + eps);
    } else {
      g = fma(decay, w, g);
      const Vec buffer = p.first_step ? g : fma(momentum, io.get(p.first + e), g);
      io.put(p.first + e, buffer);
      w = w - step * (Kind == OptimizerKind::sgd ? fma(momentum, buffer, g) : buffer);
    }
    io.put(p.weight + e, w);
    if (p.ema) io.put(p.ema + e, fma(ema_decay, io.get(p.ema + e), ema_rest * w));
  });
}

void update(const UpdateArgs& p, size_t begin, size_t end) {
  if (p.kind == OptimizerKind::adamw) update_span<OptimizerKind::adamw>(p, begin, end);
  if (p.kind == OptimizerKind::sgd) update_span<OptimizerKind::sgd>(p, begin, end);
  if (p.kind == OptimizerKind::momentum) update_span<OptimizerKind::momentum>(p, begin, end);
}

double sum_squares(const float* x, size_t n) {
  double lanes[16] = {};
  size_t i = 0;
  for (; i + 16 <= n; i += 16)
    for (size_t j = 0; j < 16; j++) lanes[j] += (double)x[i + j] * (double)x[i + j];
  for (; i < n; i++) lanes[i % 16] += (double)x[i] * (double)x[i];
  for (size_t half = 8; half > 0; half /= 2)
    for (size_t j = 0; j < half; j++) lanes[j] += lanes[j + half];
  return lanes[0];
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
