// cos and sin of a rotation, rounded to 15 decimals as the reference rounds them, with equal bits on every machine (no libm).
#pragma once

namespace dropstream::pixels {

struct Rotation {
  double cosine, sine;
};

// For t = −(degrees mod 360) in radians: (round(cos t, 15), round(sin t, 15)), where cos and sin are first rounded correctly to float64.
// glibc, which the reference uses, differs in the last bit for about one angle in 4,000; that is 1e-15, which no pixel shows.
Rotation rotation_of(double degrees);

}  // namespace dropstream::pixels
