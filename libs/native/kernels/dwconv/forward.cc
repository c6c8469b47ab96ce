// Depthwise k × k convolution of a token map with stride 1 and zero padding k ÷ 2. With flipped weights it is its own input gradient. Every
// sum is one chain of FMAs over the taps in row order, however the map is cut into strips. With AVX-512 on one Zen 5 core, 7 × 7 reaches
// 200 to 230 GFLOP/s in fp32 and 220 to 260 in bf16 (bench/maps.cc; the peak is 265; taps outside the map are counted). Other sizes are
// correct but not optimised.
#include "kernels/dwconv/strip.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// The taps in the order of the sum: first to last for the forward pass, last to first for the input gradient.
struct Taps {
  const float* first;
  ptrdiff_t step;
  DS_INLINE explicit Taps(const DepthwiseArgs& p)
      : first(p.flipped ? p.weight + (p.kernel * p.kernel - 1) * p.channels : p.weight), step(p.flipped ? -(ptrdiff_t)p.channels : (ptrdiff_t)p.channels) {}
};

// Computes R neighbouring rows of S outputs, so that every token that is loaded contributes to up to R·K sums.
template <size_t K, size_t R, size_t S, class X, class Y, class Io>
static DS_INLINE void convolve_strip(const DepthwiseArgs& p, const Taps& taps, const X* map, Y* out, size_t y, size_t x, size_t c, Io io) {
  Vec sum[R][S];
  const Vec start = p.bias ? io.get(p.bias + c) : zero();
#pragma GCC unroll 16
  for (size_t s = 0; s < R * S; s++) sum[s / S][s % S] = start;
  // Adds row i of the tokens to the outputs of rows [First, Last), through row i − r of the taps for output row r.
  const auto add_row = [&](auto first, auto last, size_t i) __attribute__((always_inline)) {
    constexpr size_t First = decltype(first)::value, Last = decltype(last)::value;
    const size_t row = y + i - K / 2;  // wraps below 0, so one comparison finds both edges
    if (row >= p.height) return;
    Vec weight[R][K];
#pragma GCC unroll 2
    for (size_t r = First; r < Last; r++)
#pragma GCC unroll 16
      for (size_t k = 0; k < K; k++) weight[r][k] = io.get(taps.first + (ptrdiff_t)((i - r) * K + k) * taps.step + c);
    const X* in = map + row * p.width * p.channels + c;
#pragma GCC unroll 16
    for (size_t j = 0; j < S + K - 1; j++) {
      const size_t column = x + j - K / 2;
      if (column >= p.width) continue;
      const Vec token = io.get(in + column * p.channels);
#pragma GCC unroll 2
      for (size_t r = First; r < Last; r++)
#pragma GCC unroll 16
        for (size_t k = 0; k < K; k++)
          if (j >= k && j - k < S) sum[r][j - k] = fma(token, weight[r][k], sum[r][j - k]);
    }
  };
  if constexpr (R == 2) add_row(Number<0>{}, Number<1>{}, 0);
  for (size_t i = R - 1; i < K; i++) add_row(Number<0>{}, Number<R>{}, i);
  if constexpr (R == 2) add_row(Number<1>{}, Number<2>{}, K);
#pragma GCC unroll 2
  for (size_t r = 0; r < R; r++)
#pragma GCC unroll 16
    for (size_t s = 0; s < S; s++) io.put(out + ((y + r) * p.width + x + s) * p.channels + c, sum[r][s]);
}

// Any kernel size, one sum at a time.
template <class X, class Y, class Io>
static DS_INLINE void convolve_token(const DepthwiseArgs& p, const Taps& taps, const X* map, Y* out, size_t y, size_t x, size_t c, Io io) {
  Vec sum = p.bias ? io.get(p.bias + c) : zero();
  for (size_t i = 0; i < p.kernel; i++)
    for (size_t k = 0; k < p.kernel; k++) {
      const size_t row = y + i - p.kernel / 2, column = x + k - p.kernel / 2;
      if (row >= p.height || column >= p.width) continue;
      sum = fma(io.get(map + (row * p.width + column) * p.channels + c), io.get(taps.first + (ptrdiff_t)(i * p.kernel + k) * taps.step + c), sum);
    }
  io.put(out + (y * p.width + x) * p.channels + c, sum);
}

// The number of output rows that are computed together. Two rows give 14 independent sums, more than the latency of an FMA needs, and every
// token is read once for both.
#if DS_REGISTERS == 32
constexpr size_t kRows = 2;
#else
constexpr size_t kRows = 1;
#endif

// Computes R rows of one sample from row y on, for channels [block, block + kChannelBlock).
template <size_t R, class X, class Y>
static void convolve_rows(const DepthwiseArgs& p, const Taps& taps, const X* map, Y* out, size_t y, size_t block) {
  const size_t columns = strip_columns(p.width);
  for (size_t x = 0; x < p.width; x += columns)
    with_columns(min(columns, p.width - x), [&](auto width) {
      for_vectors(min(kChannelBlock, p.channels - block), [&](size_t v, auto io) {
        if (p.kernel == 7) return convolve_strip<7, R, decltype(width)::value>(p, taps, map, out, y, x, block + v, io);
        for (size_t s = 0; s < R * width.value; s++) convolve_token(p, taps, map, out, y + s / width.value, x + s % width.value, block + v, io);
      });
    });
}

template <class X, class Y>
static void convolve(const DepthwiseArgs& p, const X* from, Y* to, size_t row_begin, size_t row_end) {
  const Taps taps(p);
  const size_t map = p.height * p.width * p.channels;
  for (size_t block = 0; block < p.channels; block += kChannelBlock)
    for (size_t r = row_begin; r < row_end;) {
      const size_t sample = r / p.height, y = r % p.height, left = min(p.height - y, row_end - r);
      if (left >= kRows)
        convolve_rows<kRows>(p, taps, from + sample * map, to + sample * map, y, block), r += kRows;
      else
        convolve_rows<1>(p, taps, from + sample * map, to + sample * map, y, block), r++;
    }
}

void depthwise_conv(const DepthwiseArgs& p, size_t row_begin, size_t row_end) {
  with_types(p.x, p.y, [&](auto* x, auto* y) { convolve(p, x, y, row_begin, row_end); });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
