#include "noise.h"

#include <cmath>
#include <cstring>

#include "kernels.h"
#include "normal-coefficients.h"

namespace dropstream::pixels {
namespace {

constexpr uint32_t kPurpose = 0x65726173;

uint64_t bits_of(double x) {
  uint64_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}

double double_of(uint64_t bits) {
  double x;
  std::memcpy(&x, &bits, sizeof x);
  return x;
}

// Natural logarithm of a normal x > 0, operation by operation that of libs/random/elementary.ts.
double natural_log(double x) {
  constexpr double ln2_high = 0.6931471803691238, ln2_low = 1.9082149292705877e-10;
  const uint64_t bits = bits_of(x);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  double mantissa = double_of((bits & 0x000fffffffffffffULL) | 0x3ff0000000000000ULL);
  if (mantissa > 1.4142135623730951) {
    mantissa *= 0.5;
    exponent += 1;
  }
  const double f = mantissa - 1, s = f / (2 + f), z = s * s;
  double series = 0;
  for (int k = 23; k >= 3; k -= 2) series = (series + 2.0 / k) * z;
  const double half = 0.5 * f * f;
  return exponent * ln2_high - (half - (s * (half + series) + exponent * ln2_low) - f);
}

double polynomial(const double (&coefficients)[8], double x) {
  double sum = 0;
  for (int k = 7; k >= 0; k--) sum = sum * x + coefficients[k];
  return sum;
}

}  // namespace

double normal_quantile(double p) {
  const double q = p - 0.5;
  if ((q < 0 ? -q : q) <= 0.425) {
    const double r = 0.180625 - q * q;
    return q * polynomial(kCentreNumerator, r) / polynomial(kCentreDenominator, r);
  }
  const double r = std::sqrt(-natural_log(q < 0 ? p : 1 - p));  // IEEE: correctly rounded
  const double x = r <= 5 ? polynomial(kMiddleNumerator, r - 1.6) / polynomial(kMiddleDenominator, r - 1.6)
                          : polynomial(kTailNumerator, r - 5) / polynomial(kTailDenominator, r - 5);
  return q < 0 ? -x : x;
}

void NoiseStream::fill(uint64_t first, int count, float* out) const {
  pixel_kernels().noise({{key[0], key[1]}, box, sample, kPurpose}, first, count, out);
}

}  // namespace dropstream::pixels
