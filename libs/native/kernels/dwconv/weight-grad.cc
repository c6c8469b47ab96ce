// Gradient of a depthwise convolution's weights: weight[c, i, j] += Σ dy[y, x, c] · x[y + i − k÷2, x + j − k÷2, c], bias[c] += Σ dy.
// One partial per sample and channel, each tap one FMA chain over the map in row order; the samples are added up in order afterwards.
#include "kernels/dwconv/strip.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// Row i of the taps, K sums at once: partial[i·K + k][channels].
template <size_t K, size_t S, class X, class G, class Io>
static DS_INLINE void tap_row(const DepthwiseGradArgs& p, const X* map, const G* upstream, float* partial, size_t i, size_t c, Io io) {
  Vec sum[K];
#pragma GCC unroll 16
  for (size_t k = 0; k < K; k++) sum[k] = zero();
  for (size_t y = 0; y < p.height; y++) {
    const size_t row = y + i - K / 2;
    if (row >= p.height) continue;
    const X* in = map + row * p.width * p.channels + c;
    const G* up = upstream + y * p.width * p.channels + c;
    for (size_t x = 0; x < p.width; x += S) {
      Vec dy[S];
#pragma GCC unroll 16
      for (size_t s = 0; s < S; s++) dy[s] = x + s < p.width ? io.get(up + (x + s) * p.channels) : zero();
#pragma GCC unroll 16
      for (size_t j = 0; j < S + K - 1; j++) {
        const size_t column = x + j - K / 2;
        if (column >= p.width) continue;
        const Vec token = io.get(in + column * p.channels);
#pragma GCC unroll 16
        for (size_t k = 0; k < K; k++)
          if (j >= k && j - k < S) sum[k] = fma(token, dy[j - k], sum[k]);
      }
    }
  }
#pragma GCC unroll 16
  for (size_t k = 0; k < K; k++) io.put(partial + (i * K + k) * p.channels + c, sum[k]);
}

// Any kernel, one sum at a time.
template <class X, class G, class Io>
static DS_INLINE void one_tap(const DepthwiseGradArgs& p, const X* map, const G* upstream, float* partial, size_t i, size_t k, size_t c, Io io) {
  Vec sum = zero();
  for (size_t y = 0; y < p.height; y++)
    for (size_t x = 0; x < p.width; x++) {
      const size_t row = y + i - p.kernel / 2, column = x + k - p.kernel / 2;
      if (row >= p.height || column >= p.width) continue;
      sum = fma(io.get(map + (row * p.width + column) * p.channels + c), io.get(upstream + (y * p.width + x) * p.channels + c), sum);
    }
  io.put(partial + (i * p.kernel + k) * p.channels + c, sum);
}

template <class X, class G>
static void taps_of_sample(const DepthwiseGradArgs& p, const X* from, const G* dy, size_t sample, size_t c_begin, size_t c_end) {
  const size_t tokens = p.height * p.width, taps = p.kernel * p.kernel;
  const X* map = from + sample * tokens * p.channels;
  const G* upstream = dy + sample * tokens * p.channels;
  float* partial = p.partial + sample * (taps + 1) * p.channels;
  with_columns(strip_columns(p.width), [&](auto width) {
    for_vectors(c_end - c_begin, [&](size_t v, auto io) {
      const size_t c = c_begin + v;
      for (size_t i = 0; i < p.kernel; i++) {
        if (p.kernel == 7)
          tap_row<7, decltype(width)::value>(p, map, upstream, partial, i, c, io);
        else
          for (size_t k = 0; k < p.kernel; k++) one_tap(p, map, upstream, partial, i, k, c, io);
      }
      Vec bias = zero();
      for (size_t t = 0; t < tokens; t++) bias += io.get(upstream + t * p.channels + c);
      io.put(partial + taps * p.channels + c, bias);
    });
  });
}

void depthwise_weight_grad(const DepthwiseGradArgs& p, size_t sample, size_t c_begin, size_t c_end) {
  with_types(p.x, p.dy, [&](auto* x, auto* dy) { taps_of_sample(p, x, dy, sample, c_begin, c_end); });
}

void depthwise_weight_sum(const DepthwiseGradArgs& p, size_t samples, float* weight, float* bias, size_t c_begin, size_t c_end) {
  const size_t taps = p.kernel * p.kernel, stride = (taps + 1) * p.channels;
  for (size_t tap = 0; tap <= taps; tap++)
    for (size_t c = c_begin; c < c_end; c += kLanes) {
      const size_t lanes = smaller(kLanes, c_end - c);
      Vec total = zero();
      for (size_t s = 0; s < samples; s++) {
        const float* part = p.partial + s * stride + tap * p.channels + c;
        total += lanes < kLanes ? load_part(part, lanes) : load(part);
      }
      for (size_t i = 0; i < lanes; i++) (tap < taps ? weight[(c + i) * taps + tap] : bias[c + i]) += total[i];
    }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
