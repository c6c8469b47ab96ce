// Cross-entropy with soft targets: loss = −Σ t·log softmax(logits); dlogits = (softmax·Σt − t)·scale. There are few rows and at most a few
// thousand classes, so accuracy matters more than speed: sums are float64, in a fixed order.
#include "kernels/declare.h"
#include "simd/functions.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

void cross_entropy(const CrossEntropyArgs& p, size_t row_begin, size_t row_end) {
  const size_t n = p.classes;
  for (size_t r = row_begin; r < row_end; r++) {
    const float *x = p.logits + r * n, *t = p.targets + r * n;
    float peak = x[0];
    for (size_t i = 1; i < n; i++) peak = peak > x[i] ? peak : x[i];
    const Vec top = splat(peak);
    double sum = 0, mass = 0, dot = 0;
    size_t i = 0;
    while (i < n) {
      const size_t count = min(kLanes, n - i);
      float e[kLanes];
      store(e, exponential((count == kLanes ? load(x + i) : load_part(x + i, count)) - top));
      for (size_t j = 0; j < count; j++, i++) {
        sum += e[j];
        mass += t[i];
        dot += (double)t[i] * ((double)x[i] - peak);
      }
    }
    p.loss[r] = (float)(logarithm(sum) * mass - dot);
    if (!p.dlogits) continue;
    const Vec factor = splat((float)(mass / sum)), loss_scale = splat(p.scale);
    with_types(p.dlogits + r * n, [&](auto* dlogits) {
      for_vectors(n, [&](size_t j, auto io) { io.put(dlogits + j, fma(exponential(io.get(x + j) - top), factor, -io.get(t + j)) * loss_scale); });
    });
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
