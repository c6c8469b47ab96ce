// Attention inside windows of w×w tokens (w² = 49, head_dim 10 to 64): out = dropout(softmax(scale·q·kᵀ + bias + mask))·v.
//
// A job is one head of one window: its q, k and v are gathered out of the map, a block of scores lives in scratch only. The bias is
// spread from its table once per call ([heads][w²][w² rounded up], −∞ in the padding, so that rows are whole vectors); the mask is
// compared from regions where the roll joined some. 3.1 µs a head of 49 × 32 with AVX-512 on one Zen 5 core, 5.0 with AVX2 (bench/maps.cc).
#include "kernels/window/head.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

size_t window_stride(size_t window) { return score_stride(window * window); }

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

namespace {

template <size_t N>
struct Count {
  static constexpr size_t value = N;
};

template <class T>
struct ForwardScratch {
  Word<T>*keys_across, *values_packed;
  T *q, *k, *v;
  float *out, *scores;
  T* probabilities;
  float *regions, *sums, *peaks;
  uint8_t* bits;
  DS_INLINE ForwardScratch(Carve& carve, size_t n, size_t d) {
    const size_t ld = place_stride(d), stride = score_stride(n), block = query_block(n);
    keys_across = carve.take<Word<T>>(packed_words<T>(d, n));
    values_packed = carve.take<Word<T>>(packed_words<T>(n, d));
    q = carve.take<T>(n * ld);
    k = carve.take<T>(n * ld);
    v = carve.take<T>(n * ld);
    scores = carve.take(block * stride);
    if constexpr (sizeof(T) == sizeof(float)) {
      out = k;  // the keys are packed by then
      probabilities = scores;
    } else {
      out = carve.take(n * ld);
      probabilities = carve.take<T>(block * stride);
    }
    regions = carve.take(stride);
    sums = carve.take(n);
    peaks = carve.take(n);
    bits = carve.take<uint8_t>(kept_bytes(block, n));
  }
};

// scores → probabilities exp(score − max) (kept ones · factor), whole vectors; returns Σ without dropout and the maximum. Up to `Vectors` of
// them stay in registers.
template <size_t Vectors, class T>
DS_INLINE float softmax_row(float* scores, T* probabilities, size_t stride, const Biased<T>& biased, const KeptPlaces& kept, size_t row, float factor, float* peak) {
  Vec top = splat(-__builtin_inff()), sum = zero();
  const auto put = [&](size_t j, Vec score) {
    const Vec e = raise_from<T>(score, splat(*peak));
    sum += e;
    store(probabilities + j, kept ? e * keep(splat(factor), kept.of(row, j)) : e);
  };
  if constexpr (Vectors > 0) {
    Vec s[Vectors];
#pragma GCC unroll 8
    for (size_t v = 0; v < Vectors; v++) s[v] = biased(scores, v * kLanes);
#pragma GCC unroll 8
    for (size_t v = 0; v < Vectors; v++) top = larger(top, s[v]);
    *peak = max_lanes(top);
#pragma GCC unroll 8
    for (size_t v = 0; v < Vectors; v++) put(v * kLanes, s[v]);
  } else {
    for (size_t j = 0; j < stride; j += kLanes) {
      const Vec s = biased(scores, j);
      store(scores + j, s);
      top = larger(top, s);
    }
    *peak = max_lanes(top);
    for (size_t j = 0; j < stride; j += kLanes) put(j, load(scores + j));
  }
  return sum_lanes(sum);
}

template <class T>
void window_attention_of(const WindowArgs& p, const T* all, T* result, size_t job_begin, size_t job_end, float* scratch) {
  const size_t n = p.window * p.window, d = p.head_dim, ld = place_stride(d), stride = score_stride(n), block = query_block(n), width = p.heads * d;
  const size_t tokens = p.height * p.width;
  Carve carve{scratch};
  const ForwardScratch<T> s(carve, n, d);
  memset(s.scores, 0, block * stride * sizeof(float));  // products write n columns: the padding stays finite
  memset(s.regions, 0, stride * sizeof(float));
  constexpr size_t kWindow7 = 64 / kLanes;  // vectors of a row of 49 scores, rounded up
  for (size_t job = job_begin; job < job_end; job++) {
    const Window w(p, job);
    const T* qkv = all + w.sample * tokens * 3 * width + w.head * d;
    gather(p, w, qkv, 3 * width, query_factor<T>(p), s.q);
    gather(p, w, qkv + width, 3 * width, 1, s.k);
    gather(p, w, qkv + 2 * width, 3 * width, 1, s.v);
    pack_right_turned(d, n, s.k, ld, s.keys_across);
    const Word<T>* values = as_panels(s.v, n, d, s.values_packed);
    const bool joined = w.joined(p);
    if (joined) region_row(p, w, s.regions);
    const float* bias = p.bias + w.head * n * stride;
    for (size_t i = 0; i < n; i += block) {
      const size_t rows = smaller(block, n - i);
      head_product<false>(rows, d, n, s.q + i * ld, ld, s.keys_across, s.scores, stride);
      const KeptPlaces kept(p, w, i, rows, s.bits);
      for (size_t r = 0; r < rows; r++) {
        const Biased<T> biased(p, bias + (i + r) * stride, joined ? s.regions : nullptr, i + r);
        const auto softmax = [&](auto vectors) {
          return softmax_row<vectors.value>(s.scores + r * stride, s.probabilities + r * stride, stride, biased, kept, r, p.site.scale, &s.peaks[i + r]);
        };
        s.sums[i + r] = stride == kWindow7 * kLanes ? softmax(Count<kWindow7>{}) : softmax(Count<0>{});
      }
      head_product<false>(rows, n, d, s.probabilities, stride, values, s.out + i * ld, ld);
    }
    for_vectors(n, [&](size_t i, auto io) {
      const Vec sum = io.get(s.sums + i);
      io.put(p.lse + job * n + i, io.get(s.peaks + i) + log_positive(sum));
      io.put(s.sums + i, splat(1.0f) / sum);
    });
    scatter(p, w, s.out, [&](size_t place) { return s.sums[place]; }, result + w.sample * tokens * width + w.head * d, width);
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
