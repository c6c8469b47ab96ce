#include "color.h"

#include <algorithm>
#include <array>
#include <cfloat>

static_assert(FLT_EVAL_METHOD == 0, "pixel values need plain IEEE float32 and float64 arithmetic");

namespace dropstream::pixels {
namespace {

using Table = std::array<uint8_t, 256>;
using Histogram = std::array<uint32_t, 256>;

template <class Function>
Table table_of(Function value) {
  Table table{};
  for (int i = 0; i < 256; i++) table[static_cast<size_t>(i)] = static_cast<uint8_t>(value(i));
  return table;
}

size_t area(const Planes& image) { return static_cast<size_t>(image.width) * static_cast<size_t>(image.height); }

void map_values(uint8_t* values, size_t count, const Table& table) { pixel_kernels().look_up(values, count, table.data()); }

void map_values(const Planes& image, const Table& table) { map_values(image.data, 3 * area(image), table); }

// Four histograms side by side, because equal neighbours would wait for each other in one.
Histogram histogram_of(const uint8_t* values, size_t count) {
  uint32_t counts[4][256] = {};
  size_t i = 0;
  for (; i + 4 <= count; i += 4) {
    for (size_t k = 0; k < 4; k++) counts[k][values[i + k]]++;
  }
  for (; i < count; i++) counts[0][values[i]]++;
  Histogram sums;
  for (size_t v = 0; v < 256; v++) sums[v] = counts[0][v] + counts[1][v] + counts[2][v] + counts[3][v];
  return sums;
}

uint8_t blend(float base, float value, float factor) {
  const float mixed = base + factor * (value - base);
  return static_cast<uint8_t>(mixed <= 0.0f ? 0.0f : mixed >= 255.0f ? 255.0f : mixed);
}

void blend_constant(const Planes& image, float base, float factor) {
  map_values(image, table_of([&](int i) { return blend(base, static_cast<float>(i), factor); }));
}

}  // namespace

void auto_contrast(const Planes& image) {
  for (int c = 0; c < 3; c++) {
    const Histogram counts = histogram_of(image.row(c, 0), area(image));
    int low = 0, high = 255;
    while (low < 255 && counts[static_cast<size_t>(low)] == 0) low++;
    while (high > 0 && counts[static_cast<size_t>(high)] == 0) high--;
    if (high <= low) continue;
    const double scale = 255.0 / (high - low), offset = -low * scale;
    map_values(image.row(c, 0), area(image), table_of([&](int i) { return std::clamp(static_cast<int>(i * scale + offset), 0, 255); }));
  }
}

void equalize(const Planes& image) {
  for (int c = 0; c < 3; c++) {
    const Histogram counts = histogram_of(image.row(c, 0), area(image));
    int last = 255, used = 0;
    while (last > 0 && counts[static_cast<size_t>(last)] == 0) last--;
    for (const uint32_t count : counts) used += count != 0;
    const uint64_t step = (area(image) - counts[static_cast<size_t>(last)]) / 255;
    if (used <= 1 || step == 0) continue;
    uint64_t n = step / 2;
    Table table{};
    for (size_t i = 0; i < 256; i++) {
      table[i] = static_cast<uint8_t>(std::min<uint64_t>(255, n / step));
      n += counts[i];
    }
    map_values(image.row(c, 0), area(image), table);
  }
}

void invert(const Planes& image) {
  map_values(image, table_of([](int i) { return 255 - i; }));
}

void posterize(const Planes& image, int bits) {
  const int mask = bits == 0 ? 0 : ~((1 << (8 - bits)) - 1);
  map_values(image, table_of([&](int i) { return i & mask; }));
}

void solarize(const Planes& image, int threshold) {
  map_values(image, table_of([&](int i) { return i < threshold ? i : 255 - i; }));
}

void solarize_add(const Planes& image, int addend) {
  map_values(image, table_of([&](int i) { return i < 128 ? std::min(255, i + addend) : i; }));
}

void brightness(const Planes& image, float factor) { blend_constant(image, 0.0f, factor); }

void saturation(const Planes& image, float factor) { pixel_kernels().blend_luma(image.row(0, 0), image.row(1, 0), image.row(2, 0), area(image), factor); }

void contrast(const Planes& image, float factor) {
  const uint64_t sum = pixel_kernels().luma_sum(image.row(0, 0), image.row(1, 0), image.row(2, 0), area(image));
  const auto mean = static_cast<int>(static_cast<double>(sum) / static_cast<double>(area(image)) + 0.5);
  blend_constant(image, static_cast<float>(mean), factor);
}

void sharpness(const Planes& image, float factor, const Planes& sharpened) { pixel_kernels().sharpen(image, factor, sharpened); }

}  // namespace dropstream::pixels
