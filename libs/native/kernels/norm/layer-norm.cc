// Layer norm over rows of tens to some thousand channels: a row fits L1, so the stable two-pass statistics (mean, then centred squares)
// cost no memory traffic. The backward pass recomputes the normalised row from mean and rstd instead of keeping it.
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

static float row_rstd(float variance_plus_eps) { return 1.0f / __builtin_sqrtf(variance_plus_eps); }

template <class X, class Y>
static void normalize(const LayerNormArgs& p, const X* from, Y* to, size_t row_begin, size_t row_end) {
  const size_t d = p.width;
  const float inverse = 1.0f / (float)d;
  for (size_t r = row_begin; r < row_end; r++) {
    const X* x = from + r * d;
    Y* y = to + r * d;
    Vec total = zero();
    for_vectors(d, [&](size_t i, auto io) { total += io.get(x + i); });
    const float mean = sum_lanes(total) * inverse;
    Vec squares = zero();
    const Vec centre = splat(mean);
    size_t i = 0;
    for (; i + kLanes <= d; i += kLanes) {
      const Vec c = load(x + i) - centre;
      squares = fma(c, c, squares);
    }
    if (i < d) {
      float rest[kLanes] = {};
      for (size_t j = i; j < d; j++) rest[j - i] = to_float(x[j]) - mean;  // lanes beyond the row must stay out of the variance
      const Vec c = load(rest);
      squares = fma(c, c, squares);
    }
    const float rstd = row_rstd(sum_lanes(squares) * inverse + p.eps);
    p.mean[r] = mean;
    p.rstd[r] = rstd;
    const Vec factor = splat(rstd);
    for_vectors(d, [&](size_t j, auto io) { io.put(y + j, fma((io.get(x + j) - centre) * factor, io.get(p.weight + j), io.get(p.bias + j))); });
  }
}

void layer_norm(const LayerNormArgs& p, size_t row_begin, size_t row_end) {
  with_types(p.x, p.y, [&](auto* x, auto* y) { normalize(p, x, y, row_begin, row_end); });
}

// With n = (x − mean)·rstd and g = dy·weight: dx = rstd·(g − mean(g) − n·mean(g·n)); dweight = Σ dy·n, dbias = Σ dy.
// Sums over rows: one partial per fixed block of rows, added up in block order by the caller, so threads do not matter.
template <class X, class G, class D>
static void normalize_grad(const LayerNormGradArgs& p, const X* from, const G* upstream, D* to, size_t block) {
  const size_t d = p.width, begin = block * p.rows_per_block, end = smaller(p.rows, begin + p.rows_per_block);
  const float inverse = 1.0f / (float)d;
  float *dweight = p.partial + block * 2 * d, *dbias = dweight + d;
  memset(dweight, 0, 2 * d * sizeof(float));
  for (size_t r = begin; r < end; r++) {
    const X* x = from + r * d;
    const G* dy = upstream + r * d;
    D* dx = to + r * d;
    const Vec centre = splat(p.mean[r]), factor = splat(p.rstd[r]);
    Vec sum_g = zero(), sum_gn = zero();
    for_vectors(d, [&](size_t i, auto io) {
      const Vec up = io.get(dy + i), n = (io.get(x + i) - centre) * factor, g = up * io.get(p.weight + i);
      sum_g += g;
      sum_gn = fma(g, n, sum_gn);
      io.put(dweight + i, fma(up, n, io.get(dweight + i)));
      io.put(dbias + i, io.get(dbias + i) + up);
    });
    const Vec mean_g = splat(sum_lanes(sum_g) * inverse), mean_gn = splat(sum_lanes(sum_gn) * inverse);
    for_vectors(d, [&](size_t i, auto io) {
      const Vec n = (io.get(x + i) - centre) * factor, g = io.get(dy + i) * io.get(p.weight + i);
      io.put(dx + i, factor * (g - mean_g - n * mean_gn));
    });
  }
}

void layer_norm_grad(const LayerNormGradArgs& p, size_t block) {
  with_types(p.x, p.dy, p.dx, [&](auto* x, auto* dy, auto* dx) { normalize_grad(p, x, dy, dx, block); });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
