#include "random/normal.h"

#include <cmath>
#include <cstdint>
#include <cstring>

#include "random/normal-coefficients.h"

namespace dropstream {
namespace {

// The natural logarithm of a normal number x > 0.
double natural_log(double x) {
  constexpr double ln2_high = 0.6931471803691238, ln2_low = 1.9082149292705877e-10;
  uint64_t bits;
  memcpy(&bits, &x, sizeof bits);
  int exponent = static_cast<int>(bits >> 52) - 1023;
  bits = (bits & 0x000fffffffffffffULL) | 0x3ff0000000000000ULL;
  double mantissa;
  memcpy(&mantissa, &bits, sizeof mantissa);
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

inline double polynomial(const double (&coefficients)[8], double x) {
  double sum = 0;
  for (int k = 7; k >= 0; k--) sum = sum * x + coefficients[k];
  return sum;
}

inline bool central(double p) {
  const double q = p - 0.5;
  return (q < 0 ? -q : q) <= 0.425;
}

inline double central_quantile(double p) {
  const double q = p - 0.5, r = 0.180625 - q * q;
  return q * polynomial(kCentreNumerator, r) / polynomial(kCentreDenominator, r);
}

double tail_quantile(double p) {
  const double q = p - 0.5;
  const double r = std::sqrt(-natural_log(q < 0 ? p : 1 - p));  // correctly rounded, by IEEE 754
  const double x = r <= 5 ? polynomial(kMiddleNumerator, r - 1.6) / polynomial(kMiddleDenominator, r - 1.6)
                          : polynomial(kTailNumerator, r - 5) / polynomial(kTailDenominator, r - 5);
  return q < 0 ? -x : x;
}

}  // namespace

double normal_quantile(double p) { return central(p) ? central_quantile(p) : tail_quantile(p); }

// The centre, 85 % of all values, is computed without a branch so that the compiler can use vectors; the tails follow.
void normal_quantiles(double* p, size_t count) {
  constexpr size_t kPiece = 64;
  double value[kPiece];
  for (; count > 0;) {
    const size_t here = count < kPiece ? count : kPiece;
    for (size_t i = 0; i < here; i++) value[i] = central_quantile(p[i]);
    for (size_t i = 0; i < here; i++) p[i] = central(p[i]) ? value[i] : tail_quantile(p[i]);
    p += here;
    count -= here;
  }
}

}  // namespace dropstream
