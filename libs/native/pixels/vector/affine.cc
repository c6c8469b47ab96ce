// Affine transforms in float64, 8 pixels at a time, with the same operations as for a single pixel. A shear or shift along one axis leaves
// the coordinates of the other axis on samples, where interpolation returns the sample itself, so only one axis is interpolated.
#include "vector/declare.h"

namespace dropstream::pixels {
namespace DROPSTREAM_ISA {
namespace {

constexpr int kStep = 8;

DS_INLINE int clamp(int x, int last) { return x < 0 ? 0 : x > last ? last : x; }

// Cubic convolution with a = −1 through four equidistant values, at distance d from the second.
DS_INLINE Double8 cubic_through(Double8 v1, Double8 v2, Double8 v3, Double8 v4, Double8 d) {
  const Double8 p2 = splat8(0.0) - v1 + v3;
  const Double8 p3 = (v1 - v2) * 2.0 + v3 - v4;
  const Double8 p4 = splat8(0.0) - v1 + v2 - v3 + v4;
  return v2 + d * (p2 + d * (p3 + d * p4));
}

template <int kTaps>
DS_INLINE Double8 through(const Double8 (&v)[4], Double8 d) {
  if (kTaps == 1) return v[0];
  if (kTaps == 2) return v[0] + (v[1] - v[0]) * d;
  return cubic_through(v[0], v[1], v[2], v[3], d);
}

// Where 8 pixels of a row read: the whole parts of the coordinates, and the fractions.
struct Spots {
  int32_t x[kStep], y[kStep];
  Double8 dx, dy;
};

DS_INLINE void split(const double* from, int32_t* whole, Double8& rest) {
  double fraction[kStep];
  for (int i = 0; i < kStep; i++) {
    const double at = from[i] - 0.5;
    int32_t below = static_cast<int32_t>(at);
    below -= at < below;
    whole[i] = below;
    fraction[i] = at - below;
  }
  rest = load<Double8>(fraction);
}

// Interpolates channel c around 8 positions with kTapsX × kTapsY taps: 1 (on a sample), 2 or 4 in each direction.
template <int kTapsX, int kTapsY>
DS_INLINE Double8 interpolated(const Planes& source, int c, const Spots& spots, bool interior, bool in_line) {
  constexpr int kBeforeX = kTapsX == 4 ? 1 : 0, kBeforeY = kTapsY == 4 ? 1 : 0;
  Double8 lines[4];
  for (int r = 0; r < kTapsY; r++) {
    Double8 samples[4];
    if (in_line) {  // one row, columns in sequence, all of them inside
      const uint8_t* from = source.row(c, clamp(spots.y[0] - kBeforeY + r, source.height - 1)) + spots.x[0] - kBeforeX;
      for (int k = 0; k < kTapsX; k++) samples[k] = bytes_to_doubles(from + k);
    } else if (interior && kTapsX == 4) {
      uint32_t quads[kStep];
      for (int i = 0; i < kStep; i++) memcpy(&quads[i], source.row(c, spots.y[i] - kBeforeY + r) + spots.x[i] - 1, 4);
      for (int k = 0; k < 4; k++) {
        int32_t lanes[kStep];
        for (int i = 0; i < kStep; i++) lanes[i] = static_cast<int32_t>((quads[i] >> (8 * k)) & 255);
        samples[k] = to_doubles(lanes);
      }
    } else {
      for (int k = 0; k < kTapsX; k++) {
        int32_t lanes[kStep];
        for (int i = 0; i < kStep; i++) {
          lanes[i] = source.row(c, clamp(spots.y[i] - kBeforeY + r, source.height - 1))[clamp(spots.x[i] - kBeforeX + k, source.width - 1)];
        }
        samples[k] = to_doubles(lanes);
      }
    }
    lines[r] = through<kTapsX>(samples, spots.dx);
  }
  return through<kTapsY>(lines, spots.dy);
}

template <int kTapsX, int kTapsY>
void transform_with(const Planes& source, const double* m, const uint8_t* fill, const Planes& out) {
  constexpr int kBeforeX = kTapsX == 4 ? 1 : 0, kAfterX = kTapsX == 4 ? 2 : kTapsX - 1;
  constexpr int kBeforeY = kTapsY == 4 ? 1 : 0, kAfterY = kTapsY == 4 ? 2 : kTapsY - 1;
  const auto inside = [&](double x, double y) { return x >= 0.0 && x < source.width && y >= 0.0 && y < source.height; };  // not for a NaN
  for (int y = 0; y < out.height; y++) {
    const double center_y = y + 0.5;
    for (int x = 0; x < out.width; x += kStep) {
      const int count = min(kStep, out.width - x);
      double from_x[kStep], from_y[kStep];
      for (int i = 0; i < kStep; i++) {
        const double center_x = x + min(i, count - 1) + 0.5;
        from_x[i] = m[0] * center_x + m[1] * center_y + m[2];
        from_y[i] = m[3] * center_x + m[4] * center_y + m[5];
      }
      bool is_inside[kStep];
      // Coordinates are monotonic along a row, so what holds at both ends also holds in between.
      const bool all = inside(from_x[0], from_y[0]) && inside(from_x[kStep - 1], from_y[kStep - 1]);
      if (!all) {
        bool any = false;
        for (int i = 0; i < kStep; i++) {
          is_inside[i] = inside(from_x[i], from_y[i]);
          any = any || is_inside[i];
          if (!is_inside[i]) from_x[i] = from_y[i] = 0.5;
        }
        if (!any) {
          for (int c = 0; c < 3; c++) memset(out.row(c, y) + x, fill[c], static_cast<size_t>(count));
          continue;
        }
      }
      Spots spots;
      split(from_x, spots.x, spots.dx);
      split(from_y, spots.y, spots.dy);
      bool interior = true, in_line = true;
      for (int i = 0; i < kStep; i++) {
        interior = interior && spots.x[i] >= kBeforeX && spots.x[i] + kAfterX < source.width && spots.y[i] >= kBeforeY && spots.y[i] + kAfterY < source.height;
        in_line = in_line && spots.x[i] == spots.x[0] + i && spots.y[i] == spots.y[0];
      }
      in_line = in_line && spots.x[0] >= kBeforeX && spots.x[kStep - 1] + kAfterX < source.width;
      for (int c = 0; c < 3; c++) {
        uint8_t bytes[kStep];
        store_byte_range(bytes, interpolated<kTapsX, kTapsY>(source, c, spots, interior, in_line));
        if (!all) {
          for (int i = 0; i < kStep; i++) {
            if (!is_inside[i]) bytes[i] = fill[c];
          }
        }
        if (count == kStep) {
          memcpy(out.row(c, y) + x, bytes, kStep);
        } else {
          memcpy(out.row(c, y) + x, bytes, static_cast<size_t>(count));
        }
      }
    }
  }
}

}  // namespace

void transform(const Planes& source, const double* m, bool cubic, const uint8_t* fill, const Planes& out) {
  const bool rows_stay = m[3] == 0.0 && m[4] == 1.0 && m[5] == 0.0, columns_stay = m[0] == 1.0 && m[1] == 0.0 && m[2] == 0.0;
  if (rows_stay) return (cubic ? transform_with<4, 1> : transform_with<2, 1>)(source, m, fill, out);
  if (columns_stay) return (cubic ? transform_with<1, 4> : transform_with<1, 2>)(source, m, fill, out);
  (cubic ? transform_with<4, 4> : transform_with<2, 2>)(source, m, fill, out);
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream::pixels
