#include "affine.h"

#include <algorithm>

#include "trigonometry.h"

namespace dropstream::pixels {

AffineMatrix shear_x(double factor) { return {1, factor, 0, 0, 1, 0}; }
AffineMatrix shear_y(double factor) { return {1, 0, 0, factor, 1, 0}; }
AffineMatrix translate_x(double pixels) { return {1, 0, pixels, 0, 1, 0}; }
AffineMatrix translate_y(double pixels) { return {1, 0, 0, 0, 1, pixels}; }

AffineMatrix rotate(double degrees, int width, int height) {
  const auto [c, s] = rotation_of(degrees);
  const double cx = width / 2.0, cy = height / 2.0;
  return {c, s, (c * -cx + s * -cy) + cx, -s, c, (-s * -cx + c * -cy) + cy};
}

namespace {

int floor_of(double x) {
  const int whole = static_cast<int>(x);
  return x < whole ? whole - 1 : whole;
}

uint8_t bilinear_at(const Image& source, int channel, int x, int y, double dx, double dy) {
  const int x0 = std::clamp(x, 0, source.width - 1), x1 = std::clamp(x + 1, 0, source.width - 1);
  const uint8_t* upper = source.row(channel, std::clamp(y, 0, source.height - 1));
  const uint8_t* lower = source.row(channel, std::clamp(y + 1, 0, source.height - 1));
  const double above = upper[x0] + (upper[x1] - upper[x0]) * dx;
  const double below = lower[x0] + (lower[x1] - lower[x0]) * dx;
  return static_cast<uint8_t>(above + (below - above) * dy);
}

// Cubic convolution with a = −1 through four equidistant values, d past the second.
double cubic_through(double v1, double v2, double v3, double v4, double d) {
  const double p2 = -v1 + v3;
  const double p3 = 2 * (v1 - v2) + v3 - v4;
  const double p4 = -v1 + v2 - v3 + v4;
  return v2 + d * (p2 + d * (p3 + d * p4));
}

uint8_t bicubic_at(const Image& source, int channel, int x, int y, double dx, double dy) {
  int columns[4];
  for (int k = 0; k < 4; k++) columns[k] = std::clamp(x - 1 + k, 0, source.width - 1);
  double lines[4];
  for (int k = 0; k < 4; k++) {
    const uint8_t* line = source.row(channel, std::clamp(y - 1 + k, 0, source.height - 1));
    lines[k] = cubic_through(line[columns[0]], line[columns[1]], line[columns[2]], line[columns[3]], dx);
  }
  const double value = cubic_through(lines[0], lines[1], lines[2], lines[3], dy);
  return static_cast<uint8_t>(value <= 0.0 ? 0.0 : value >= 255.0 ? 255.0 : value);
}

template <uint8_t (*sample)(const Image&, int, int, int, double, double)>
void transform_with(const Image& source, const AffineMatrix& m, const Fill& fill, Image& out) {
  for (int y = 0; y < out.height; y++) {
    uint8_t* const rows[3] = {out.row(0, y), out.row(1, y), out.row(2, y)};
    const double down = y + 0.5;
    for (int x = 0; x < out.width; x++) {
      const double across = x + 0.5;
      const double from_x = m.m0 * across + m.m1 * down + m.m2;
      const double from_y = m.m3 * across + m.m4 * down + m.m5;
      // Written so that a NaN counts as outside.
      if (!(from_x >= 0.0 && from_x < source.width && from_y >= 0.0 && from_y < source.height)) {
        for (int c = 0; c < 3; c++) rows[c][x] = fill.channel[c];
        continue;
      }
      const double px = from_x - 0.5, py = from_y - 0.5;
      const int x0 = floor_of(px), y0 = floor_of(py);
      for (int c = 0; c < 3; c++) rows[c][x] = sample(source, c, x0, y0, px - x0, py - y0);
    }
  }
}

}  // namespace

void transform(const Image& source, const AffineMatrix& matrix, Interpolation interpolation, const Fill& fill, Image& out) {
  out.reshape(source.width, source.height);
  if (interpolation == Interpolation::bilinear) {
    transform_with<bilinear_at>(source, matrix, fill, out);
  } else {
    transform_with<bicubic_at>(source, matrix, fill, out);
  }
}

}  // namespace dropstream::pixels
