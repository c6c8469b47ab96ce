#include "png.h"

#include <cstdlib>
#include <cstring>

namespace dropstream::pixels {
namespace {

int channels_of(int color_type) {
  switch (color_type) {
    case 0: return 1;
    case 2: return 3;
    case 3: return 1;
    case 4: return 2;
    case 6: return 4;
    default: throw PixelError("png: unknown colour type " + std::to_string(color_type));
  }
}

void check_header(const PngHeader& header) {
  const int depth = header.bit_depth;
  const bool any_depth = header.color_type == 0 && (depth == 1 || depth == 2 || depth == 4 || depth == 8 || depth == 16);
  const bool palette_depth = header.color_type == 3 && (depth == 1 || depth == 2 || depth == 4 || depth == 8);
  const bool byte_depth = (header.color_type == 2 || header.color_type == 4 || header.color_type == 6) && (depth == 8 || depth == 16);
  if (!any_depth && !palette_depth && !byte_depth) {
    throw PixelError("png: bit depth " + std::to_string(depth) + " is not allowed with colour type " + std::to_string(header.color_type));
  }
  check_dimensions(header.width, header.height);
}

uint8_t paeth(int left, int up, int corner) {
  const int estimate = left + up - corner;
  const int to_left = std::abs(estimate - left), to_up = std::abs(estimate - up), to_corner = std::abs(estimate - corner);
  if (to_left <= to_up && to_left <= to_corner) return static_cast<uint8_t>(left);
  return static_cast<uint8_t>(to_up <= to_corner ? up : corner);
}

// Reverses filter `type` on `line` in place. `above` is the line before it (zeros for the first line), and `step` the number of bytes of a
// whole pixel.
void unfilter(int type, uint8_t* line, const uint8_t* above, size_t count, size_t step) {
  switch (type) {
    case 0: return;
    case 1:
      for (size_t i = step; i < count; i++) line[i] = static_cast<uint8_t>(line[i] + line[i - step]);
      return;
    case 2:
      for (size_t i = 0; i < count; i++) line[i] = static_cast<uint8_t>(line[i] + above[i]);
      return;
    case 3:
      for (size_t i = 0; i < count; i++) {
        const int left = i < step ? 0 : line[i - step];
        line[i] = static_cast<uint8_t>(line[i] + ((left + above[i]) >> 1));
      }
      return;
    case 4:
      for (size_t i = 0; i < count; i++) {
        const int left = i < step ? 0 : line[i - step], corner = i < step ? 0 : above[i - step];
        line[i] = static_cast<uint8_t>(line[i] + paeth(left, above[i], corner));
      }
      return;
    default: throw PixelError("png: unknown filter " + std::to_string(type));
  }
}

struct Pixel {
  uint8_t r, g, b;
};

Pixel pixel_at(const PngHeader& header, const uint8_t* line, int x, Bytes palette) {
  const size_t at = static_cast<size_t>(x);
  if (header.bit_depth < 8) {
    const int depth = header.bit_depth, mask = (1 << depth) - 1;
    const size_t bit = at * static_cast<size_t>(depth);
    const int sample = (line[bit >> 3] >> (8 - depth - static_cast<int>(bit & 7))) & mask;
    if (header.color_type == 0) {
      const auto gray = static_cast<uint8_t>(sample * 255 / mask);
      return {gray, gray, gray};
    }
    if (static_cast<size_t>(sample) * 3 + 2 >= palette.size) throw PixelError("png: palette index " + std::to_string(sample) + " has no entry");
    return {palette.data[3 * sample], palette.data[3 * sample + 1], palette.data[3 * sample + 2]};
  }
  const size_t bytes = header.bit_depth == 16 ? 2 : 1;
  switch (header.color_type) {
    case 0: {
      const uint8_t gray = bytes == 1 ? line[at] : line[2 * at] == 0 ? line[2 * at + 1] : 255;
      return {gray, gray, gray};
    }
    case 3: {
      const size_t entry = 3 * static_cast<size_t>(line[at]);
#ifndef DROPSTREAM_PLANTED_BUG  // npm run test:fuzz must notice when this is missing
      if (entry + 2 >= palette.size) throw PixelError("png: palette index " + std::to_string(line[at]) + " has no entry");
#endif
      return {palette.data[entry], palette.data[entry + 1], palette.data[entry + 2]};
    }
    case 4: {
      const uint8_t gray = line[2 * bytes * at];
      return {gray, gray, gray};
    }
    default: {
      const uint8_t* sample = line + at * bytes * (header.color_type == 6 ? 4 : 3);
      return {sample[0], sample[bytes], sample[2 * bytes]};
    }
  }
}

struct Pass {
  int x0, y0, dx, dy;
};
constexpr Pass kWhole[] = {{0, 0, 1, 1}};
constexpr Pass kInterlaced[] = {{0, 0, 8, 8}, {4, 0, 8, 8}, {0, 4, 4, 8}, {2, 0, 4, 4}, {0, 2, 2, 4}, {1, 0, 2, 2}, {0, 1, 1, 2}};

}  // namespace

void decode_png_scanlines(const PngHeader& header, Bytes scanlines, Bytes palette, const ChooseWindow& choose, Image& out, std::vector<uint8_t>& line) {
  check_header(header);
  const Window wanted = choose(header.width, header.height);
  out.reshape(wanted.width, wanted.height);
  const size_t bits = static_cast<size_t>(channels_of(header.color_type)) * static_cast<size_t>(header.bit_depth);
  const size_t step = bits < 8 ? 1 : bits / 8;
  const size_t longest = (static_cast<size_t>(header.width) * bits + 7) / 8;
  if (line.size() < 2 * longest) line.resize(2 * longest);
  size_t at = 0;
  const Pass* passes = header.interlaced ? kInterlaced : kWhole;
  for (int p = 0; p < (header.interlaced ? 7 : 1); p++) {
    const Pass& pass = passes[p];
    const int columns = (header.width - pass.x0 + pass.dx - 1) / pass.dx;
    const int rows = (header.height - pass.y0 + pass.dy - 1) / pass.dy;
    if (columns <= 0 || rows <= 0) continue;
    const size_t count = (static_cast<size_t>(columns) * bits + 7) / 8;
    uint8_t *current = line.data(), *above = line.data() + longest;
    std::memset(above, 0, count);
    for (int j = 0; j < rows; j++) {
      if (scanlines.size < at + 1 + count) throw PixelError("png: image data ends early");
      std::memcpy(current, scanlines.data + at + 1, count);
      unfilter(scanlines.data[at], current, above, count, step);
      at += 1 + count;
      const int row = pass.y0 + j * pass.dy - wanted.top;
      if (row >= 0 && row < wanted.height) {
        uint8_t *r = out.row(0, row), *g = out.row(1, row), *b = out.row(2, row);
        if (header.color_type == 2 && header.bit_depth == 8 && pass.dx == 1) {
          deinterleave(current + 3 * static_cast<size_t>(wanted.left), wanted.width, r, g, b);
        } else {
          for (int i = 0; i < columns; i++) {
            const int column = pass.x0 + i * pass.dx - wanted.left;
            if (column < 0 || column >= wanted.width) continue;
            const Pixel pixel = pixel_at(header, current, i, palette);
            r[column] = pixel.r;
            g[column] = pixel.g;
            b[column] = pixel.b;
          }
        }
      }
      std::swap(current, above);
    }
  }
}

}  // namespace dropstream::pixels
