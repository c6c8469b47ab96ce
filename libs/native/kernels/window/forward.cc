// Attention inside windows of w×w tokens (w² = 49, head_dim 10 to 64): out = dropout(softmax(scale·q·kᵀ + bias + mask))·v.
//
// A job is one head of one window: its q, k and v are gathered out of the map, a block of scores lives in scratch only. The bias is
// spread from its table once per call ([heads][w²][w² rounded up], −∞ in the padding, so that rows are whole vectors); the mask is
// compared from regions where the roll joined some. 3.1 µs a head of 49 × 32 with AVX-512 on one Zen 5 core, 5.0 with AVX2 (bench/maps.cc).
#include "kernels/window/head.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

size_t window_stride(size_t window) { return score_stride(window * window); }

size_t window_scratch(size_t window, size_t head_dim, bool backward) {
  const size_t n = window * window, stride = score_stride(n), block = query_block(n);
  const size_t by_key = packed_floats(head_dim, n), by_channel = packed_floats(n, head_dim), tokens = n * place_stride(head_dim);
  const size_t rows = block * stride + stride + block * n;  // scores, regions, dropout factors
  const size_t floats = backward ? 2 * by_key + by_channel + 2 * packed_floats(block, head_dim) + 8 * tokens + block * stride + n * stride
                                 : by_key + by_channel + 3 * tokens + 2 * n;
  return rows + floats + 20 * 16;  // each rounded up
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

// scores + bias (+ mask) → exp(score − max) in place, whole vectors; returns Σ and the maximum. Up to `Vectors` of them stay in registers.
template <size_t Vectors>
static DS_INLINE float softmax_row(float* scores, size_t stride, const float* bias, const float* regions, size_t query, float* peak) {
  Vec top = splat(-__builtin_inff()), sum = zero();
  const Vec own = regions ? splat(regions[query]) : zero();
  const auto biased = [&](size_t j) {
    const Vec s = load(scores + j) + load(bias + j);
    return regions ? s + (load(regions + j) == own ? zero() : splat(kApart)) : s;
  };
  if constexpr (Vectors > 0) {
    Vec s[Vectors];
#pragma GCC unroll 8
    for (size_t v = 0; v < Vectors; v++) s[v] = biased(v * kLanes);
#pragma GCC unroll 8
    for (size_t v = 0; v < Vectors; v++) top = larger(top, s[v]);
    *peak = max_lanes(top);
#pragma GCC unroll 8
    for (size_t v = 0; v < Vectors; v++) {
      s[v] = exponential(s[v] - splat(*peak));
      sum += s[v];
      store(scores + v * kLanes, s[v]);
    }
    return sum_lanes(sum);
  }
  for (size_t j = 0; j < stride; j += kLanes) {
    const Vec s = biased(j);
    store(scores + j, s);
    top = larger(top, s);
  }
  *peak = max_lanes(top);
  for (size_t j = 0; j < stride; j += kLanes) {
    const Vec e = exponential(load(scores + j) - splat(*peak));
    store(scores + j, e);
    sum += e;
  }
  return sum_lanes(sum);
}

void window_attention(const WindowArgs& p, size_t job_begin, size_t job_end, float* scratch) {
  const size_t n = p.window * p.window, d = p.head_dim, ld = place_stride(d), stride = score_stride(n), block = query_block(n), width = p.heads * d;
  const size_t tokens = p.height * p.width;
  Carve carve{scratch};
  float* keys_across = carve.take(packed_floats(d, n));
  float* values_packed = carve.take(packed_floats(n, d));
  float* q = carve.take(n * ld);
  float* k = carve.take(n * ld);
  float* v = carve.take(n * ld);
  float* out = k;  // the keys are packed by then
  float* scores = carve.take(block * stride);
  float* regions = carve.take(stride);
  float* sums = carve.take(n);
  float* peaks = carve.take(n);
  float* factors = carve.take(block * n);
  memset(scores, 0, block * stride * sizeof(float));  // products write n columns: the padding stays finite
  memset(regions, 0, stride * sizeof(float));
  constexpr size_t kWindow7 = 64 / kLanes;  // vectors of a row of 49 scores, rounded up
  for (size_t job = job_begin; job < job_end; job++) {
    const Window w(p, job);
    const float* qkv = p.qkv + w.sample * tokens * 3 * width + w.head * d;
    gather(p, w, qkv, 3 * width, p.scale, q);
    gather(p, w, qkv + width, 3 * width, 1, k);
    gather(p, w, qkv + 2 * width, 3 * width, 1, v);
    pack_columns({d, n, k, ld, keys_across}, 0, panel_count(n));
    const float* values = as_panels(v, n, d, values_packed);
    const bool joined = w.joined(p);
    if (joined) region_row(p, w, regions);
    const float* bias = p.bias + w.head * n * stride;
    for (size_t i = 0; i < n; i += block) {
      const size_t rows = smaller(block, n - i);
      head_product(rows, d, n, q + i * ld, ld, false, keys_across, scores, stride, false);
      const float* mask = joined ? regions : nullptr;
      if (stride == kWindow7 * kLanes)
        for (size_t r = 0; r < rows; r++) sums[i + r] = softmax_row<kWindow7>(scores + r * stride, stride, bias + (i + r) * stride, mask, i + r, &peaks[i + r]);
      else
        for (size_t r = 0; r < rows; r++) sums[i + r] = softmax_row<0>(scores + r * stride, stride, bias + (i + r) * stride, mask, i + r, &peaks[i + r]);
      if (p.site.on) {
        window_factors(p, w, i, i + rows, factors);
        for (size_t r = 0; r < rows; r++)
          for_vectors(n, [&](size_t j, auto io) { io.put(scores + r * stride + j, io.get(scores + r * stride + j) * io.get(factors + r * n + j)); });
      }
      head_product(rows, n, d, scores, stride, false, values, out + i * ld, ld, false);
    }
    for_vectors(n, [&](size_t i, auto io) {
      const Vec sum = io.get(sums + i);
      io.put(p.lse + job * n + i, io.get(peaks + i) + log_positive(sum));
      io.put(sums + i, splat(1.0f) / sum);
    });
    scatter(p, w, out, [&](size_t place) { return sums[place]; }, p.out + w.sample * tokens * width + w.head * d, width);
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
