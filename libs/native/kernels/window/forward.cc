// Attention inside windows of w×w tokens (w² = 49, head_dim 10 to 64): out = dropout(softmax(scale·q·kᵀ + bias + mask))·v.
//
// A job is one head of one window: its q, k and v are gathered out of the map, a block of scores lives in scratch only. The bias is
// spread from its table once per call ([heads][w²][w² rounded up], −∞ in the padding, so that rows are whole vectors); the mask is
// compared from regions where the roll joined some.
#include "kernels/window/head.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

size_t window_stride(size_t window) { return score_stride(window * window); }

size_t window_scratch(size_t window, size_t head_dim, bool backward) {
  const size_t n = window * window, stride = score_stride(n), block = query_block(n);
  const size_t by_key = packed_floats(head_dim, n), by_channel = packed_floats(n, head_dim), tokens = n * head_dim;
  const size_t common = by_key + by_channel + 3 * tokens + block * stride + stride + block * n;
  return common + (backward ? by_key + 2 * packed_floats(block, head_dim) + 5 * tokens + block * stride + n * stride : 0) + 20 * 16;
}

// bias[i][j] = table[(y_i − y_j + w − 1)(2w − 1) + (x_i − x_j + w − 1)][head].
void window_bias(const float* table, size_t window, size_t heads, size_t head, float* bias) {
  const size_t n = window * window, stride = score_stride(n), side = 2 * window - 1;
  for (size_t i = 0; i < n; i++) {
    float* row = bias + i * stride;
    for (size_t y = 0; y < window; y++)
      for (size_t x = 0; x < window; x++)
        row[y * window + x] = table[((i / window + window - 1 - y) * side + i % window + window - 1 - x) * heads + head];
    for (size_t j = n; j < stride; j++) row[j] = -__builtin_inff();
  }
}

// scores[n] + bias (+ mask) → exp(score − max) in place, whole vectors; returns Σ and the maximum.
static DS_INLINE float softmax_row(float* scores, size_t stride, const float* bias, const float* regions, size_t query, float* peak) {
  Vec top = splat(-__builtin_inff());
  const Vec own = regions ? splat(regions[query]) : zero();
  for (size_t j = 0; j < stride; j += kLanes) {
    Vec s = load(scores + j) + load(bias + j);
    if (regions) s += load(regions + j) == own ? zero() : splat(kApart);
    store(scores + j, s);
    top = larger(top, s);
  }
  const float highest = max_lanes(top);
  const Vec shift = splat(highest);
  Vec sum = zero();
  for (size_t j = 0; j < stride; j += kLanes) {
    const Vec e = exponential(load(scores + j) - shift);
    store(scores + j, e);
    sum += e;
  }
  *peak = highest;
  return sum_lanes(sum);
}

void window_attention(const WindowArgs& p, size_t job_begin, size_t job_end, float* scratch) {
  const size_t n = p.window * p.window, d = p.head_dim, stride = score_stride(n), block = query_block(n), width = p.heads * d;
  const size_t tokens = p.height * p.width;
  Carve carve{scratch};
  float* keys = carve.take(packed_floats(d, n));
  float* values = carve.take(packed_floats(n, d));
  float* q = carve.take(n * d);
  float* other = carve.take(n * d);
  float* out = carve.take(n * d);
  float* scores = carve.take(block * stride);
  float* regions = carve.take(stride);
  float* factors = carve.take(block * n);
  memset(scores, 0, block * stride * sizeof(float));  // products write n columns: the padding stays finite
  memset(regions, 0, stride * sizeof(float));
  for (size_t job = job_begin; job < job_end; job++) {
    const Window w(p, job);
    const float* qkv = p.qkv + w.sample * tokens * 3 * width + w.head * d;
    gather(p, w, qkv, 3 * width, p.scale, q);
    gather(p, w, qkv + width, 3 * width, 1, other);
    pack_columns({d, n, other, d, keys}, 0, panel_count(n));
    gather(p, w, qkv + 2 * width, 3 * width, 1, other);
    pack_rows({n, d, other, d, values}, 0, panel_count(d), 0, n);
    const bool joined = w.joined(p);
    if (joined) region_row(p, w, regions);
    for (size_t i = 0; i < n; i += block) {
      const size_t rows = smaller(block, n - i);
      float sums[kQueryBlockGrad], peaks[kQueryBlockGrad];
      head_product(rows, d, n, q + i * d, d, false, keys, scores, stride, false);
      if (p.site.on) window_factors(p, w, i, i + rows, factors);
      for (size_t r = 0; r < rows; r++) {
        float* row = scores + r * stride;
        sums[r] = softmax_row(row, stride, p.bias + (w.head * n + i + r) * stride, joined ? regions : nullptr, i + r, &peaks[r]);
        if (p.site.on) for_vectors(n, [&](size_t j, auto io) { io.put(row + j, io.get(row + j) * io.get(factors + r * n + j)); });
      }
      float* lse = p.lse + job * n + i;
      for_vectors(rows, [&](size_t r, auto io) {
        const Vec sum = io.get(sums + r);
        io.put(lse + r, io.get(peaks + r) + log_positive(sum));
        io.put(sums + r, splat(1.0f) / sum);
      });
      head_product(rows, n, d, scores, stride, false, values, out + i * d, d, false);
      for (size_t r = 0; r < rows; r++) {
        const Vec f = splat(sums[r]);
        float* row = out + (i + r) * d;
        for_vectors(d, [&](size_t j, auto io) { io.put(row + j, io.get(row + j) * f); });
      }
    }
    scatter(p, w, out, 1, p.out + w.sample * tokens * width + w.head * d, width);
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
