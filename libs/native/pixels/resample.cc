#include "resample.h"

#include <algorithm>
#include <cstring>
#include <tuple>
#include <utility>

namespace dropstream::pixels {
namespace {

double magnitude(double x) { return x < 0 ? -x : x; }

double triangle(double x) {
  x = magnitude(x);
  return x < 1.0 ? 1.0 - x : 0.0;
}

// Cubic convolution (Keys) with a = −1/2.
double cubic(double x) {
  constexpr double a = -0.5;
  x = magnitude(x);
  const double inner = ((a + 2.0) * x - (a + 3.0)) * x * x + 1, outer = (((x - 5) * x + 8) * x - 4) * a;
  return x < 1.0 ? inner : x < 2.0 ? outer : 0.0;
}

// The taps of the output positions [from, to) of an axis of `in` samples that is resized to `out`, last position first if `reversed`.
void make_taps(int in, int out, int from, int to, Interpolation interpolation, bool reversed, std::vector<double>& exact, TapsOfAxis& taps) {
  const double scale = static_cast<double>(in) / out;
  const double width = std::max(scale, 1.0);
  const double support = (interpolation == Interpolation::bilinear ? 1.0 : 2.0) * width;
  const double inverse = 1.0 / width;
  const size_t positions = static_cast<size_t>(to - from);
  taps.stride = 2 * (static_cast<int>(support) + 1) + 1;
  taps.first.resize(positions);
  taps.count.resize(positions);
  taps.weights.resize(positions * static_cast<size_t>(taps.stride));
  exact.resize(static_cast<size_t>(taps.stride));
  for (int i = from; i < to; i++) {
    const auto position = static_cast<size_t>(reversed ? to - 1 - i : i - from);
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
    int32_t* weights = &taps.weights[position * static_cast<size_t>(taps.stride)];
    for (int k = 0; k < count; k++) {
      const double weight = (sum != 0.0 ? exact[static_cast<size_t>(k)] / sum : exact[static_cast<size_t>(k)]) * (1 << kWeightBits);
      weights[k] = static_cast<int32_t>(weight < 0 ? weight - 0.5 : weight + 0.5);
    }
    taps.first[position] = first;
    taps.count[position] = count;
  }
}

// Shifts the taps so that they count from the first sample that any of them reads. Returns that sample and the number of samples.
std::pair<int, int> count_from_first(TapsOfAxis& taps) {
  int begin = taps.first[0], end = begin;
  for (size_t i = 0; i < taps.first.size(); i++) {
    begin = std::min(begin, taps.first[i]);
    end = std::max(end, taps.first[i] + taps.count[i]);
  }
  for (int& first : taps.first) first -= begin;
  return {begin, end - begin};
}

}  // namespace

void plan_resize(int width, int height, int full_width, int full_height, const Window& window, Interpolation interpolation, bool mirrored, Resize& plan) {
  plan.resamples_horizontally = width != full_width;
  plan.resamples_vertically = height != full_height;
  plan.mirrored = mirrored;
  plan.reads = window;
  if (plan.resamples_horizontally) {
    make_taps(width, full_width, window.left, window.left + window.width, interpolation, mirrored, plan.exact, plan.horizontal);
    std::tie(plan.reads.left, plan.reads.width) = count_from_first(plan.horizontal);
  }
  if (plan.resamples_vertically) {
    make_taps(height, full_height, window.top, window.top + window.height, interpolation, false, plan.exact, plan.vertical);
    std::tie(plan.reads.top, plan.reads.height) = count_from_first(plan.vertical);
  }
}

void resize(const Resize& plan, const Planes& source, const Planes& out, ResampleScratch& scratch) {
  const PixelKernels& kernels = pixel_kernels();
  Planes from = source;
  if (!plan.resamples_horizontally && plan.mirrored) {
    scratch.mirrored.reshape(source.width, source.height);
    kernels.mirror(source, scratch.mirrored.planes());
    from = scratch.mirrored.planes();
  }
  if (plan.resamples_horizontally) {
    const size_t strips = horizontal_scratch(source.width, out.width);
    if (scratch.strips.size() < strips) scratch.strips.resize(strips);
    Planes to = out;
    if (plan.resamples_vertically) {
      scratch.between.reshape(out.width, source.height);
      to = scratch.between.planes();
    }
    kernels.resample_horizontally(from, plan.horizontal.view(), to, scratch.strips.data());
    from = to;
  }
  if (plan.resamples_vertically) return kernels.resample_vertically(from, plan.vertical.view(), out);
  if (plan.resamples_horizontally) return;
  for (int c = 0; c < 3; c++) {
    for (int y = 0; y < out.height; y++) std::memcpy(out.row(c, y), from.row(c, y), static_cast<size_t>(out.width));
  }
}

}  // namespace dropstream::pixels
