// Affine transforms of an image onto a canvas of the same size, equal to Pillow's: float64, bilinear or cubic (a = −1), truncated.
#pragma once
#include "image.h"
#include "resample.h"

namespace dropstream::pixels {

struct Fill {
  uint8_t channel[3];
};

// Output pixel (x, y) reads the input at (m0(x+½) + m1(y+½) + m2, m3(x+½) + m4(y+½) + m5).
struct AffineMatrix {
  double m0, m1, m2, m3, m4, m5;
};

AffineMatrix shear_x(double factor);
AffineMatrix shear_y(double factor);
AffineMatrix translate_x(double pixels);
AffineMatrix translate_y(double pixels);
AffineMatrix rotate(double degrees, int width, int height);

// `out` must be another image of the same size.
void transform(const Planes& source, const AffineMatrix& matrix, Interpolation interpolation, const Fill& fill, const Planes& out);

}  // namespace dropstream::pixels
