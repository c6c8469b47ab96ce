#include "affine.h"

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

void transform(const Planes& source, const AffineMatrix& m, Interpolation interpolation, const Fill& fill, const Planes& out) {
  const double matrix[6] = {m.m0, m.m1, m.m2, m.m3, m.m4, m.m5};
  pixel_kernels().transform(source, matrix, interpolation == Interpolation::bicubic, fill.channel, out);
}

}  // namespace dropstream::pixels
