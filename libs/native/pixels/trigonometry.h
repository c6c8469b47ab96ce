// cos and sin of a rotation, rounded to 15 decimals as the reference rounds them, with equal bits on every machine (no libm).
#pragma once

namespace dropstream::pixels {

struct Rotation {
  double cosine, sine;
};

// For t = −(degrees mod 360) in radians: (round(cos t, 15), round(sin t, 15)), cos and sin correctly rounded to float64 first
// (glibc, which the reference runs on, is off by its last bit for about one angle in 4,000: 1e-15, below anything a pixel shows).
Rotation rotation_of(double degrees);

}  // namespace dropstream::pixels
