#include "resample.h"

#include <algorithm>
#include <cstring>

namespace dropstream::pixels {
namespace {

constexpr int kFractionBits = 22;
constexpr int32_t kHalf = 1 << (kFractionBits - 1);

double magnitude(double x) { return x < 0 ? -x : x; }

double triangle(double x) {
  x = magnitude(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

// Cubic convolution (Keys) with a = −1/2.
double cubic(double x) {
  constexpr double a = -0.5;
  x = magnitude(x);
  if (x < 1.0) return ((a + 2.0) * x - (a + 3.0)) * x * x + 1;
  if (x < 2.0) return (((x - 5) * x + 8) * x - 4) * a;
  return 0.0;
}

// Taps of the output positions [from, to) of an axis of `in` samples resized to `out`.
void make_taps(int in, int out, int from, int to, Interpolation interpolation, Taps& taps) {
  const double scale = static_cast<double>(in) / out;
  const double width = std::max(scale, 1.0);
  const double support = (interpolation == Interpolation::bilinear ? 1.0 : 2.0) * width;
  const double inverse = 1.0 / width;
  const size_t positions = static_cast<size_t>(to - from);
  taps.stride = 2 * (static_cast<int>(support) + 1) + 1;
  taps.first.resize(positions);
  taps.count.resize(positions);
  taps.weights.resize(positions * static_cast<size_t>(taps.stride));
  std::vector<double> exact(static_cast<size_t>(taps.stride));
  for (int i = from; i < to; i++) {
    const double centre = (i + 0.5) * scale;
    const int first = std::max(0, static_cast<int>(centre - support + 0.5));  // truncation and floor agree from 0 up
    const int last = std::min(in, static_cast<int>(centre + support + 0.5));
    const int count = std::min(last - first, taps.stride);
    double sum = 0.0;
    for (int k = 0; k < count; k++) {
      const double at = (k + first - centre + 0.5) * inverse;
      exact[static_cast<size_t>(k)] = interpolation == Interpolation::bilinear ? triangle(at) : cubic(at);
      sum += exact[static_cast<size_t>(k)];
    }
    int32_t* weights = &taps.weights[static_cast<size_t>(i - from) * static_cast<size_t>(taps.stride)];
    for (int k = 0; k < count; k++) {
      const double weight = (sum != 0.0 ? exact[static_cast<size_t>(k)] / sum : exact[static_cast<size_t>(k)]) * (1 << kFractionBits);
      weights[k] = static_cast<int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    taps.first[static_cast<size_t>(i - from)] = first;
    taps.count[static_cast<size_t>(i - from)] = count;
  }
}

uint8_t to_byte(int32_t sum) { return static_cast<uint8_t>(std::clamp(sum >> kFractionBits, 0, 255)); }

// Rows [top, top + rows) of `source`, each resampled along x.
void horizontal(const Image& source, int top, int rows, const Taps& taps, Image& out) {
  const int columns = static_cast<int>(taps.first.size());
  out.reshape(columns, rows);
  for (int c = 0; c < 3; c++) {
    for (int y = 0; y < rows; y++) {
      const uint8_t* line = source.row(c, top + y);
      uint8_t* target = out.row(c, y);
      for (int x = 0; x < columns; x++) {
        const uint8_t* samples = line + taps.first[static_cast<size_t>(x)];
        const int32_t* weights = &taps.weights[static_cast<size_t>(x) * static_cast<size_t>(taps.stride)];
        const int count = taps.count[static_cast<size_t>(x)];
        int32_t sum = kHalf;
        for (int k = 0; k < count; k++) sum += samples[k] * weights[k];
        target[x] = to_byte(sum);
      }
    }
  }
}

// Columns [left, left + columns) of `source` (whose first row is row `top` of the axis), resampled along y.
void vertical(const Image& source, int top, int left, int columns, const Taps& taps, Image& out, std::vector<int32_t>& sums) {
  const int rows = static_cast<int>(taps.first.size());
  out.reshape(columns, rows);
  sums.resize(static_cast<size_t>(columns));
  for (int c = 0; c < 3; c++) {
    for (int y = 0; y < rows; y++) {
      std::fill(sums.begin(), sums.end(), kHalf);
      const int32_t* weights = &taps.weights[static_cast<size_t>(y) * static_cast<size_t>(taps.stride)];
      for (int k = 0; k < taps.count[static_cast<size_t>(y)]; k++) {
        const uint8_t* line = source.row(c, taps.first[static_cast<size_t>(y)] - top + k) + left;
        const int32_t weight = weights[k];
        for (int x = 0; x < columns; x++) sums[static_cast<size_t>(x)] += line[x] * weight;
      }
      uint8_t* target = out.row(c, y);
      for (int x = 0; x < columns; x++) target[x] = to_byte(sums[static_cast<size_t>(x)]);
    }
  }
}

void copy_window(const Image& source, const Window& window, Image& out) {
  out.reshape(window.width, window.height);
  for (int c = 0; c < 3; c++) {
    for (int y = 0; y < window.height; y++) {
      std::memcpy(out.row(c, y), source.row(c, window.top + y) + window.left, static_cast<size_t>(window.width));
    }
  }
}

}  // namespace

void resize(const Image& source, int full_width, int full_height, const Window& window, Interpolation interpolation, Image& out,
            ResampleScratch& scratch) {
  const bool across = source.width != full_width, down = source.height != full_height;
  if (!across && !down) return copy_window(source, window, out);
  if (!down) {
    make_taps(source.width, full_width, window.left, window.left + window.width, interpolation, scratch.taps);
    return horizontal(source, window.top, window.height, scratch.taps, out);
  }
  const Image* between = &source;
  int top = 0, left = window.left;
  if (across) {
    // Only the rows that the vertical pass will read.
    make_taps(source.height, full_height, window.top, window.top + window.height, interpolation, scratch.taps);
    top = scratch.taps.first.front();
    const int bottom = scratch.taps.first.back() + scratch.taps.count.back();
    make_taps(source.width, full_width, window.left, window.left + window.width, interpolation, scratch.taps);
    horizontal(source, top, bottom - top, scratch.taps, scratch.between);
    between = &scratch.between;
    left = 0;
  }
  make_taps(source.height, full_height, window.top, window.top + window.height, interpolation, scratch.taps);
  vertical(*between, top, left, window.width, scratch.taps, out, scratch.sums);
}

}  // namespace dropstream::pixels
