// Gradient of window attention: probabilities are recomputed from q, k, bias, mask and lse. With P the probabilities, F the dropout
// factors, D = Σ dout·out per query: dv = (P·F)ᵀ·dout;  dS = P·(F·(dout·vᵀ) − D);  dq = scale·dS·k;  dk = dSᵀ·(scale·q).
//
// The table's gradient sums dS over samples, windows and pairs of places. A job is one head of `windows_per_partial` windows that follow
// each other: it adds up their dS in scratch, then scatters that into its own part of a partial table; the caller adds the partials in order.
// 6 to 9 µs a head of 49 × 32 with AVX-512 on one Zen 5 core, 10 to 12 with AVX2 (bench/maps.cc).
#include "kernels/window/head.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

static DS_INLINE float dot_product(const float* a, const float* b, size_t n) {
  Vec sum = zero();
  for_vectors(n, [&](size_t i, auto io) { sum = fma(io.get(a + i), io.get(b + i), sum); });
  return sum_lanes(sum);
}

// One query's row: scores → probabilities (·factors), upstream (dout·vᵀ) → dS, added to `total`.
static DS_INLINE void grad_row(float* scores, float* upstream, float* total, size_t stride, const float* bias, const float* regions, size_t query, float lse, float dot) {
  const Vec shift = splat(lse), d = splat(dot), own = regions ? splat(regions[query]) : zero();
  for (size_t j = 0; j < stride; j += kLanes) {
    Vec s = load(scores + j) + load(bias + j);
    if (regions) s += load(regions + j) == own ? zero() : splat(kApart);
    const Vec p = exponential(s - shift), ds = p * (load(upstream + j) - d);
    store(scores + j, p);
    store(upstream + j, ds);
    store(total + j, load(total + j) + ds);
  }
}

// total[w²][stride] → partial[(2w − 1)²][heads], this head's column.
static void scatter_bias(const WindowArgs& p, size_t head, const float* total, float* partial) {
  const size_t w = p.window, n = w * w, stride = score_stride(n), side = 2 * w - 1;
  for (size_t row = 0; row < side * side; row++) partial[row * p.heads + head] = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t y = 0; y < w; y++)
      for (size_t x = 0; x < w; x++) partial[((i / w + w - 1 - y) * side + i % w + w - 1 - x) * p.heads + head] += total[i * stride + y * w + x];
}

void window_attention_grad(const WindowArgs& p, size_t samples, size_t job, float* scratch) {
  const size_t n = p.window * p.window, d = p.head_dim, ld = place_stride(d), stride = score_stride(n), block = query_block(n), width = p.heads * d;
  const size_t tokens = p.height * p.width, windows = samples * (tokens / n), head = job % p.heads, group = job / p.heads;
  Carve carve{scratch};
  float* keys_across = carve.take(packed_floats(d, n));
  float* values_across = carve.take(packed_floats(d, n));
  float* keys_packed = carve.take(packed_floats(n, d));
  float* queries_packed = carve.take(packed_floats(block, d));
  float* dout_packed = carve.take(packed_floats(block, d));
  float* q = carve.take(n * ld);
  float* k = carve.take(n * ld);
  float* v = carve.take(n * ld);
  float* out = carve.take(n * ld);
  float* dout = carve.take(n * ld);
  float* dq = carve.take(n * ld);
  float* dk = carve.take(n * ld);
  float* dv = carve.take(n * ld);
  float* scores = carve.take(block * stride);
  float* upstream = carve.take(block * stride);
  float* total = carve.take(n * stride);
  float* regions = carve.take(stride);
  float* factors = carve.take(block * n);
  memset(scores, 0, block * stride * sizeof(float));  // products write n columns: the padding stays finite
  memset(upstream, 0, block * stride * sizeof(float));
  memset(total, 0, n * stride * sizeof(float));
  memset(regions, 0, stride * sizeof(float));
  for (size_t at = group * p.windows_per_partial; at < smaller(windows, (group + 1) * p.windows_per_partial); at++) {
    const Window w(p, at * p.heads + head);
    const size_t first = w.sample * tokens;
    const float* qkv = p.qkv + first * 3 * width + head * d;
    gather(p, w, qkv, 3 * width, p.scale, q);
    gather(p, w, qkv + width, 3 * width, 1, k);
    gather(p, w, qkv + 2 * width, 3 * width, 1, v);
    pack_columns({d, n, k, ld, keys_across}, 0, panel_count(n));
    pack_columns({d, n, v, ld, values_across}, 0, panel_count(n));
    const float* keys = as_panels(k, n, d, keys_packed);
    gather(p, w, p.out + first * width + head * d, width, 1, out);
    gather(p, w, p.dout + first * width + head * d, width, 1, dout);
    const bool joined = w.joined(p);
    if (joined) region_row(p, w, regions);
    for (size_t i = 0; i < n; i += block) {
      const size_t rows = smaller(block, n - i);
      head_product(rows, d, n, q + i * ld, ld, false, keys_across, scores, stride, false);
      head_product(rows, d, n, dout + i * ld, ld, false, values_across, upstream, stride, false);
      if (p.site.on) {
        window_factors(p, w, i, i + rows, factors);
        for (size_t r = 0; r < rows; r++)
          for_vectors(n, [&](size_t j, auto io) { io.put(upstream + r * stride + j, io.get(upstream + r * stride + j) * io.get(factors + r * n + j)); });
      }
      for (size_t r = 0; r < rows; r++) {
        float* row = scores + r * stride;
        grad_row(row, upstream + r * stride, total + (i + r) * stride, stride, p.bias + (head * n + i + r) * stride, joined ? regions : nullptr, i + r,
                 p.lse[(at * p.heads + head) * n + i + r], dot_product(out + (i + r) * ld, dout + (i + r) * ld, ld));
        if (p.site.on) for_vectors(n, [&](size_t j, auto io) { io.put(row + j, io.get(row + j) * io.get(factors + r * n + j)); });
      }
      head_product(n, rows, d, scores, stride, true, as_panels(dout + i * ld, rows, d, dout_packed), dv, ld, i > 0);
      head_product(n, rows, d, upstream, stride, true, as_panels(q + i * ld, rows, d, queries_packed), dk, ld, i > 0);
      head_product(rows, n, d, upstream, stride, false, keys, dq + i * ld, ld, false);
    }
    float* dqkv = p.dqkv + first * 3 * width + head * d;
    const auto one = [](size_t) { return 1.0f; };
    scatter(p, w, dq, [&](size_t) { return p.scale; }, dqkv, 3 * width);
    scatter(p, w, dk, one, dqkv + width, 3 * width);
    scatter(p, w, dv, one, dqkv + 2 * width, 3 * width);
  }
  scatter_bias(p, head, total, p.partial + group * (2 * p.window - 1) * (2 * p.window - 1) * p.heads);
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
