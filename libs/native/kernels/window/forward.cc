// Attention inside windows of w × w tokens (w² = 49, head_dim 10 to 64): out = dropout(softmax(scale·q·kᵀ + bias + mask))·v.
//
// One job is one head of one window. Its q, k and v are gathered from the map in packed order, and a block of scores exists only in scratch
// memory. The bias is expanded from its table once per call, into [heads][w²][w² rounded up] with −∞ in the padding, so that rows are whole
// vectors. The mask is computed by comparing regions, in windows where the roll joined several. In bf16 with AVX-512-BF16 on one Zen 5
// core, a head of 49 × 20 takes 1.4 µs, or 1.9 with dropout (bench/attention.cc).
#include "kernels/window/head.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

size_t window_stride(size_t window, Type) { return score_stride(window * window); }

// bias[i][j] = table[(y_i − y_j + w − 1)(2w − 1) + (x_i − x_j + w − 1)][head].
void window_bias(const float* table, size_t window, size_t heads, size_t head, Type, float* bias) {
  const size_t n = window * window, stride = score_stride(n), side = 2 * window - 1;
  for (size_t i = 0; i < n; i++) {
    float* row = bias + i * stride;
    for (size_t y = 0; y < window; y++)
      for (size_t x = 0; x < window; x++) row[y * window + x] = table[((i / window + window - 1 - y) * side + i % window + window - 1 - x) * heads + head];
    for (size_t j = n; j < stride; j++) row[j] = -__builtin_inff();
  }
}

namespace {

template <class T>
struct ForwardScratch {
  Word<T>*keys_transposed, *values;
  T* q;
  float *out, *scores;
  T* probabilities;
  float *regions, *sums, *peaks;
  uint8_t* bits;
  DS_INLINE ForwardScratch(Carve& carve, size_t n, size_t d) {
    const size_t stride = score_stride(n), block = query_block(n);
    keys_transposed = carve.take<Word<T>>(packed_words<T>(d, n));
    values = carve.take<Word<T>>(packed_words<T>(n, d));
    q = carve.take<T>(n * place_stride<T>(d));
    out = carve.take(n * place_stride<float>(d));
    scores = carve.take(block * stride);
    if constexpr (sizeof(T) == sizeof(float))
      probabilities = scores;
    else
      probabilities = carve.take<T>(block * stride);
    regions = carve.take(stride);
    sums = carve.take(n);
    peaks = carve.take(n);
    bits = carve.take<uint8_t>(kept_bytes(block, n));
  }
};

// Replaces one row of `stride` scores by probabilities exp(score + bias (+ mask) − max), where kept ones are multiplied by `factor`. Works
// on whole vectors. Also returns their sum without dropout, and the maximum.
template <class T>
DS_INLINE void softmax_row(const WindowArgs& p, float* scores, T* probabilities, size_t stride, const float* bias, const float* regions, size_t query,
                           const KeptPlaces& kept, size_t row, float* sum, float* peak) {
  const Biased<T> biased(p, bias, regions, query);
  Vec top = splat(-__builtin_inff()), total = zero();
  for (size_t j = 0; j < stride; j += kLanes) {
    const Vec score = biased(scores, j);
    store(scores + j, score);
    top = max(top, score);
  }
  *peak = max_lanes(top);
  const Vec shift = splat(*peak);
  for (size_t j = 0; j < stride; j += kLanes) {
    Vec e = raise_from<T>(load(scores + j), shift);
    total += e;
    if (kept) e *= keep(splat(p.site.scale), kept.of(row, j));
    store(probabilities + j, e);
  }
  *sum = sum_lanes(total);
}

// The same for `Rows` rows of `Vectors` vectors side by side in registers, because one row's maximum and sum would leave the vector units
// waiting.
template <size_t Rows, size_t Vectors, class T>
DS_INLINE void softmax_rows(const WindowArgs& p, const float* scores, T* probabilities, const float* bias, const float* regions, size_t query,
                            const KeptPlaces& kept, size_t row, float* sums, float* peaks) {
  constexpr size_t kStride = Vectors * kLanes;
  Vec s[Rows][Vectors], top[Rows], total[Rows];
#pragma GCC unroll 4
  for (size_t r = 0; r < Rows; r++) {
    const Biased<T> biased(p, bias + r * kStride, regions, query + r);
#pragma GCC unroll 8
    for (size_t v = 0; v < Vectors; v++) {
      s[r][v] = biased(scores + r * kStride, v * kLanes);
      top[r] = max(v ? top[r] : splat(-__builtin_inff()), s[r][v]);
    }
  }
#pragma GCC unroll 4
  for (size_t r = 0; r < Rows; r++) top[r] = splat(max_lanes(top[r]));
#pragma GCC unroll 4
  for (size_t r = 0; r < Rows; r++)
#pragma GCC unroll 8
    for (size_t v = 0; v < Vectors; v++) {
      s[r][v] = raise_from<T>(s[r][v], top[r]);
      total[r] = v ? total[r] + s[r][v] : zero() + s[r][v];
    }
  if (kept)
#pragma GCC unroll 4
    for (size_t r = 0; r < Rows; r++)
#pragma GCC unroll 8
      for (size_t v = 0; v < Vectors; v++) s[r][v] *= keep(splat(p.site.scale), kept.of(row + r, v * kLanes));
#pragma GCC unroll 4
  for (size_t r = 0; r < Rows; r++) {
#pragma GCC unroll 8
    for (size_t v = 0; v < Vectors; v++) store(probabilities + r * kStride + v * kLanes, s[r][v]);
    peaks[r] = top[r][0];
    sums[r] = sum_lanes(total[r]);
  }
}

template <class T>
void window_attention_of(const WindowArgs& p, const T* all, T* result, size_t job_begin, size_t job_end, float* scratch) {
  const size_t n = p.window * p.window, d = p.head_dim, stride = score_stride(n), block = query_block(n), width = p.heads * d;
  const size_t tokens = p.height * p.width, q_row = place_stride<T>(d), out_row = place_stride<float>(d);
  Carve carve{scratch};
  const ForwardScratch<T> s(carve, n, d);
  memset(s.scores, 0, block * stride * sizeof(float));  // products write n columns: the padding stays finite
  memset(s.regions, 0, stride * sizeof(float));
  constexpr size_t kWindow7 = 64 / kLanes;  // vectors of a row of 49 scores, rounded up: four rows take half of AVX-512's registers
  for (size_t job = job_begin; job < job_end; job++) {
    const Window w(p, job);
    const T* qkv = all + w.sample * tokens * 3 * width + w.head * d;
    const Places places(p, w);
    places.gather(qkv, 3 * width, query_factor<T>(p), s.q);
    places.pack_keys_transposed(qkv + width, 3 * width, s.keys_transposed);
    places.pack(qkv + 2 * width, 3 * width, s.values);
    const bool joined = w.joined(p);
    if (joined) region_row(p, w, s.regions);
    const float* bias = p.bias + w.head * n * stride;
    for (size_t i = 0; i < n; i += block) {
      const size_t rows = min(block, n - i);
      head_product<false>(rows, d, n, s.q + i * q_row, q_row, s.keys_transposed, s.scores, stride);
      const KeptPlaces kept(p, w, i, rows, s.bits);
      const float* mask = joined ? s.regions : nullptr;
      size_t r = 0;
      if constexpr (kLanes == 16)
        for (; stride == kWindow7 * kLanes && r + 4 <= rows; r += 4)
          softmax_rows<4, kWindow7>(p, s.scores + r * stride, s.probabilities + r * stride, bias + (i + r) * stride, mask, i + r, kept, r, s.sums + i + r,
                                    s.peaks + i + r);
      for (; r < rows; r++)
        softmax_row(p, s.scores + r * stride, s.probabilities + r * stride, stride, bias + (i + r) * stride, mask, i + r, kept, r, s.sums + i + r,
                    s.peaks + i + r);
      head_product<false>(rows, n, d, s.probabilities, stride, s.values, s.out + i * out_row, out_row);
    }
    for_vectors(n, [&](size_t i, auto io) {
      const Vec sum = io.get(s.sums + i);
      io.put(p.lse + job * n + i, io.get(s.peaks + i) + log_positive(sum));
      io.put(s.sums + i, splat(1.0f) / sum);
    });
    places.scatter(
        s.out, [&](size_t place) { return s.sums[place]; }, result + w.sample * tokens * width + w.head * d, width);
  }
}

}  // namespace

void window_attention(const WindowArgs& p, size_t job_begin, size_t job_end, float* scratch) {
  if (p.qkv.type == Type::fp32)
    window_attention_of(p, p.qkv.floats(), p.out.floats(), job_begin, job_end, scratch);
  else
    window_attention_of(p, p.qkv.halves(), p.out.halves(), job_begin, job_end, scratch);
}

size_t window_scratch(size_t window, size_t head_dim, Type type) {
  Carve carve{nullptr};
  if (type == Type::fp32)
    ForwardScratch<float>(carve, window * window, head_dim);
  else
    ForwardScratch<bf16>(carve, window * window, head_dim);
  return carve.floats();
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
