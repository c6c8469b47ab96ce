// The gradient of window attention. The probabilities are recomputed from q, k, bias, mask and lse. P are the probabilities, F the dropout
// factors, and D = Σ dout·out for each query: dv = (P·F)ᵀ·dout;  dS = P·(F·(dout·vᵀ) − D);  dq = scale·dS·k;  dk = dSᵀ·(scale·q).
//
// The gradient of the bias table sums dS over samples, windows and pairs of places. One job is one head of `windows_per_partial`
// consecutive windows. It adds up their dS in scratch memory and scatters the sum into its own part of a partial table; the caller adds the
// partial tables in order. In bf16 with AVX-512-BF16 on one Zen 5 core, a head of 49 × 20 takes 3.0 µs, or 3.6 with dropout. Two thirds of
// that are products at the speed of the register tile, and padding 49 to 64 and 20 to 32 costs a third of those (bench/attention.cc).
#include "kernels/window/head.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

namespace {

template <class T>
struct BackwardScratch {
  Word<T>*keys_transposed, *values_transposed, *keys, *queries_packed, *dout_packed;
  T *q, *dout;
  float *dq, *dk, *dv, *scores, *upstream, *total, *regions;
  Word<T>*shares, *gradients;  // P·F and dS by pairs of queries, as in attention/backward.cc
  T* gradient_rows;
  uint8_t* bits;
  DS_INLINE BackwardScratch(Carve& carve, size_t n, size_t d) {
    const size_t ld = place_stride<T>(d), sums = n * place_stride<float>(d), stride = score_stride(n), block = query_block(n);
    keys_transposed = carve.take<Word<T>>(packed_words<T>(d, n));
    values_transposed = carve.take<Word<T>>(packed_words<T>(d, n));
    keys = carve.take<Word<T>>(packed_words<T>(n, d));
    queries_packed = carve.take<Word<T>>(packed_words<T>(block, d));
    dout_packed = carve.take<Word<T>>(packed_words<T>(block, d));
    q = carve.take<T>(n * ld);
    dout = carve.take<T>(n * ld);
    dq = carve.take(sums);
    dk = carve.take(sums);
    dv = carve.take(sums);
    scores = carve.take(block * stride);
    upstream = carve.take(block * stride);
    if constexpr (sizeof(T) == sizeof(float)) {
      shares = scores;
      gradients = gradient_rows = upstream;
    } else {
      shares = carve.take<Pair>(steps_of<Pair>(block) * stride);
      gradients = carve.take<Pair>(steps_of<Pair>(block) * stride);
      gradient_rows = carve.take<T>(block * stride);
    }
    total = carve.take(n * stride);
    regions = carve.take(stride);
    bits = carve.take<uint8_t>(kept_bytes(block, n));
  }
};

// Replaces one query's row of scores by probabilities (· factors) and its row of `upstream` (dout·vᵀ) by dS, and adds dS to `total`. fp32.
DS_INLINE void grad_row(float* scores, float* upstream, float* total, size_t stride, const Biased<float>& biased, const KeptPlaces& kept, size_t row,
                        float factor, float lse, float dot) {
  const Vec shift = splat(lse), d = splat(dot);
  for (size_t j = 0; j < stride; j += kLanes) {
    const Vec p = raise_from<float>(biased(scores, j), shift), up = load(upstream + j);
    const Vec f = kept ? keep(splat(factor), kept.of(row, j)) : splat(1.0f), ds = p * ((kept ? up * f : up) - d);
    store(scores + j, kept ? p * f : p);
    store(upstream + j, ds);
    store(total + j, load(total + j) + ds);
  }
}

// The same for two queries' rows, or for the last row and a row of zeros, in bf16.
DS_INLINE void grad_rows(bool two, const float* scores, const float* upstream, float* total, size_t stride, const Biased<bf16> (&biased)[2],
                         const KeptPlaces& kept, size_t row, float factor, const float* lse, const float* dot, Pair* shares, Pair* gradients,
                         bf16* gradient_rows) {
  const size_t next = two ? 1 : 0;
  const Vec shift[2] = {splat(lse[0]), splat(lse[next])}, d[2] = {splat(dot[0]), splat(dot[next])}, f = splat(factor);
  for (size_t j = 0; j < stride; j += kLanes) {
    Vec p[2], ds[2];
#pragma GCC unroll 2
    for (size_t r = 0; r < 2; r++) {
      const size_t at = r * next * stride;
      const Vec raised = raise_from<bf16>(biased[r](scores + at, j), shift[r]), up = load(upstream + at + j);
      const Vec fr = kept ? keep(f, kept.of(row + r * next, j)) : zero();
      p[r] = kept ? raised * fr : raised;
      ds[r] = raised * ((kept ? up * fr : up) - d[r]);
    }
    if (!two) p[1] = ds[1] = zero();
    store((float*)(shares + j), pair_up<float>(p[0], p[1]));
    store((float*)(gradients + j), pair_up<float>(ds[0], ds[1]));
    store(gradient_rows + j, ds[0]);
    store(total + j, load(total + j) + ds[0]);
    if (!two) continue;
    store(gradient_rows + stride + j, ds[1]);
    store(total + stride + j, load(total + stride + j) + ds[1]);
  }
}

// Scatters total[w²][stride] into this head's column of partial[(2w − 1)²][heads].
void scatter_bias(const WindowArgs& p, size_t head, const float* total, float* partial) {
  const size_t w = p.window, n = w * w, stride = score_stride(n), side = 2 * w - 1;
  for (size_t row = 0; row < side * side; row++) partial[row * p.heads + head] = 0;
  for (size_t i = 0; i < n; i++)
    for (size_t y = 0; y < w; y++)
      for (size_t x = 0; x < w; x++) partial[((i / w + w - 1 - y) * side + i % w + w - 1 - x) * p.heads + head] += total[i * stride + y * w + x];
}

template <class T>
void window_attention_grad_of(const WindowArgs& p, const T* all, const T* result, const T* dresult, T* dall, size_t samples, size_t job, float* scratch) {
  constexpr bool kHalf = sizeof(T) == sizeof(bf16);
  const size_t n = p.window * p.window, d = p.head_dim, ld = place_stride<T>(d), sum_row = place_stride<float>(d), stride = score_stride(n),
               block = query_block(n);
  const size_t width = p.heads * d, tokens = p.height * p.width, windows = samples * (tokens / n), head = job % p.heads, group = job / p.heads;
  Carve carve{scratch};
  const BackwardScratch<T> s(carve, n, d);
  memset(s.scores, 0, block * stride * sizeof(float));  // products write n columns: the padding stays finite
  memset(s.upstream, 0, block * stride * sizeof(float));
  memset(s.total, 0, n * stride * sizeof(float));
  memset(s.regions, 0, stride * sizeof(float));
  for (size_t at = group * p.windows_per_partial; at < min(windows, (group + 1) * p.windows_per_partial); at++) {
    const Window w(p, at * p.heads + head);
    const size_t first = w.sample * tokens;
    const T* qkv = all + first * 3 * width + head * d;
    const T* out = result + first * width + head * d;
    const Places places(p, w);
    places.gather(qkv, 3 * width, query_factor<T>(p), s.q);
    places.gather(dresult + first * width + head * d, width, 1, s.dout);
    places.pack_keys_transposed(qkv + width, 3 * width, s.keys_transposed);
    places.pack_keys_transposed(qkv + 2 * width, 3 * width, s.values_transposed);
    places.pack(qkv + width, 3 * width, s.keys);
    float dots[kMaxPlaces];
    for (size_t i = 0; i < n; i++) dots[i] = dot_product(out + places.token[i] * width, s.dout + i * ld, d);
    const bool joined = w.joined(p);
    if (joined) region_row(p, w, s.regions);
    for (size_t i = 0; i < n; i += block) {
      const size_t rows = min(block, n - i);
      head_product<false>(rows, d, n, s.q + i * ld, ld, s.keys_transposed, s.scores, stride);
      head_product<false>(rows, d, n, s.dout + i * ld, ld, s.values_transposed, s.upstream, stride);
      const KeptPlaces kept(p, w, i, rows, s.bits);
      const float* lse = p.lse + (at * p.heads + head) * n + i;
      const auto biased = [&](size_t r) { return Biased<T>(p, p.bias + (head * n + i + r) * stride, joined ? s.regions : nullptr, i + r); };
      if constexpr (kHalf)
        for (size_t r = 0; r < rows; r += 2) {
          const bool two = r + 1 < rows;
          const Biased<T> both[2] = {biased(r), biased(two ? r + 1 : r)};
          grad_rows(two, s.scores + r * stride, s.upstream + r * stride, s.total + (i + r) * stride, stride, both, kept, r, p.site.scale, lse + r, dots + i + r,
                    s.shares + r / 2 * stride, s.gradients + r / 2 * stride, s.gradient_rows + r * stride);
        }
      else
        for (size_t r = 0; r < rows; r++)
          grad_row(s.scores + r * stride, s.upstream + r * stride, s.total + (i + r) * stride, stride, biased(r), kept, r, p.site.scale, lse[r], dots[i + r]);
      head_product<true>(n, rows, d, s.shares, stride, as_panels(s.dout + i * ld, rows, d, s.dout_packed), s.dv, sum_row, i > 0);
      head_product<true>(n, rows, d, s.gradients, stride, as_panels(s.q + i * ld, rows, d, s.queries_packed), s.dk, sum_row, i > 0);
      head_product<false>(rows, n, d, s.gradient_rows, stride, s.keys, s.dq + i * sum_row, sum_row);
    }
    T* dqkv = dall + first * 3 * width + head * d;
    const auto one = [](size_t) { return 1.0f; };
    const auto scale = [&](size_t) { return p.scale; };
    places.scatter(s.dq, scale, dqkv, 3 * width);
    if constexpr (kHalf)
      places.scatter(s.dk, scale, dqkv + width, 3 * width);
    else
      places.scatter(s.dk, one, dqkv + width, 3 * width);
    places.scatter(s.dv, one, dqkv + 2 * width, 3 * width);
  }
  scatter_bias(p, head, s.total, p.partial + group * (2 * p.window - 1) * (2 * p.window - 1) * p.heads);
}

}  // namespace

void window_attention_grad(const WindowArgs& p, size_t samples, size_t job, float* scratch) {
  if (p.qkv.type == Type::fp32)
    window_attention_grad_of(p, p.qkv.floats(), p.out.floats(), p.dout.floats(), p.dqkv.floats(), samples, job, scratch);
  else
    window_attention_grad_of(p, p.qkv.halves(), p.out.halves(), p.dout.halves(), p.dqkv.halves(), samples, job, scratch);
}

size_t window_grad_scratch(size_t window, size_t head_dim, Type type) {
  Carve carve{nullptr};
  if (type == Type::fp32)
    BackwardScratch<float>(carve, window * window, head_dim);
  else
    BackwardScratch<bf16>(carve, window * window, head_dim);
  return carve.floats();
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
