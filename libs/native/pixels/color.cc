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

void map_values(uint8_t* values, size_t count, const Table& table) {
  for (size_t i = 0; i < count; i++) values[i] = table[values[i]];
}

void map_values(Image& image, const Table& table) { map_values(image.plane(0), 3 * image.area(), table); }

Histogram histogram_of(const uint8_t* values, size_t count) {
  Histogram counts{};
  for (size_t i = 0; i < count; i++) counts[values[i]]++;
  return counts;
}

int luma(int r, int g, int b) { return (19595 * r + 38470 * g + 7471 * b + 32768) >> 16; }

uint8_t blend(float base, float value, float factor) {
  const float mixed = base + factor * (value - base);
  return static_cast<uint8_t>(mixed <= 0.0f ? 0.0f : mixed >= 255.0f ? 255.0f : mixed);
}

// out[i] = blend of base[i] and values[i], in place of values.
void blend_rows(uint8_t* __restrict values, const uint8_t* __restrict base, size_t count, float factor) {
  for (size_t i = 0; i < count; i++) values[i] = blend(base[i], values[i], factor);
}

void blend_constant(Image& image, float base, float factor) {
  map_values(image, table_of([&](int i) { return blend(base, static_cast<float>(i), factor); }));
}

}  // namespace

void auto_contrast(Image& image) {
  for (int c = 0; c < 3; c++) {
    const Histogram counts = histogram_of(image.plane(c), image.area());
    int low = 0, high = 255;
    while (low < 255 && counts[static_cast<size_t>(low)] == 0) low++;
    while (high > 0 && counts[static_cast<size_t>(high)] == 0) high--;
    if (high <= low) continue;
    const double scale = 255.0 / (high - low), offset = -low * scale;
    map_values(image.plane(c), image.area(), table_of([&](int i) { return std::clamp(static_cast<int>(i * scale + offset), 0, 255); }));
  }
}

void equalize(Image& image) {
  for (int c = 0; c < 3; c++) {
    const Histogram counts = histogram_of(image.plane(c), image.area());
    int last = 255, used = 0;
    while (last > 0 && counts[static_cast<size_t>(last)] == 0) last--;
    for (const uint32_t count : counts) used += count != 0;
    const uint64_t step = (image.area() - counts[static_cast<size_t>(last)]) / 255;
    if (used <= 1 || step == 0) continue;
    uint64_t n = step / 2;
    Table table{};
    for (size_t i = 0; i < 256; i++) {
      table[i] = static_cast<uint8_t>(std::min<uint64_t>(255, n / step));
      n += counts[i];
    }
    map_values(image.plane(c), image.area(), table);
  }
}

void invert(Image& image) {
  map_values(image, table_of([](int i) { return 255 - i; }));
}

void posterize(Image& image, int bits) {
  const int mask = bits == 0 ? 0 : ~((1 << (8 - bits)) - 1);
  map_values(image, table_of([&](int i) { return i & mask; }));
}

void solarize(Image& image, int threshold) {
  map_values(image, table_of([&](int i) { return i < threshold ? i : 255 - i; }));
}

void solarize_add(Image& image, int addend) {
  map_values(image, table_of([&](int i) { return i < 128 ? std::min(255, i + addend) : i; }));
}

void brightness(Image& image, float factor) { blend_constant(image, 0.0f, factor); }

void saturation(Image& image, float factor) {
  uint8_t *r = image.plane(0), *g = image.plane(1), *b = image.plane(2);
  for (size_t i = 0; i < image.area(); i++) {
    const auto base = static_cast<float>(luma(r[i], g[i], b[i]));
    r[i] = blend(base, r[i], factor);
    g[i] = blend(base, g[i], factor);
    b[i] = blend(base, b[i], factor);
  }
}

void contrast(Image& image, float factor) {
  const uint8_t *r = image.plane(0), *g = image.plane(1), *b = image.plane(2);
  uint64_t sum = 0;
  for (size_t i = 0; i < image.area(); i++) sum += static_cast<uint64_t>(luma(r[i], g[i], b[i]));
  const auto mean = static_cast<int>(static_cast<double>(sum) / static_cast<double>(image.area()) + 0.5);
  blend_constant(image, static_cast<float>(mean), factor);
}

void sharpness(Image& image, float factor, Image& scratch) {
  scratch.reshape(image.width, image.height);
  for (int c = 0; c < 3; c++) {
    std::copy_n(image.plane(c), image.area(), scratch.plane(c));  // border pixels stay as they are
    for (int y = 1; y + 1 < image.height; y++) {
      const uint8_t *above = image.row(c, y - 1), *line = image.row(c, y), *below = image.row(c, y + 1);
      uint8_t* target = scratch.row(c, y);
      for (int x = 1; x + 1 < image.width; x++) {
        const int sum = above[x - 1] + above[x] + above[x + 1] + line[x - 1] + 5 * line[x] + line[x + 1] + below[x - 1] + below[x] + below[x + 1];
        target[x] = static_cast<uint8_t>((2 * sum + 13) / 26);  // ⌊sum/13 + ½⌋: never a tie, so float rounding cannot matter
      }
    }
  }
  blend_rows(image.plane(0), scratch.plane(0), 3 * image.area(), factor);
}

}  // namespace dropstream::pixels
