#include "noise.h"

#include <cmath>
#include <cstring>

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

// AS 241 (PPND16): |p − ½| ≤ 0.425 in 0.180625 − q²; then in √(−log tail) − 1.6 up to 5; then − 5 beyond.
constexpr double kCentreNumerator[8] = {3.3871328727963665, 133.14166789178438, 1971.5909503065513, 13731.69376550946,
                                        45921.95393154987,  67265.7709270087,   33430.57558358813,  2509.0809287301227};
constexpr double kCentreDenominator[8] = {1.0,                42.31333070160091, 687.1870074920579,  5394.196021424751,
                                          21213.794301586597, 39307.89580009271, 28729.085735721943, 5226.495278852546};
constexpr double kMiddleNumerator[8] = {1.4234371107496835, 4.630337846156546,  5.769497221460691,    3.6478483247632045,
                                        1.2704582524523684, 0.2417807251774506, 0.022723844989269184, 0.0007745450142783414};
constexpr double kMiddleDenominator[8] = {1.0,                 2.053191626637759,    1.6763848301838038,    0.6897673349851,
                                          0.14810397642748008, 0.015198666563616457, 0.0005475938084995345, 1.0507500716444169e-9};
constexpr double kTailNumerator[8] = {6.657904643501103,    5.463784911164114,     1.7848265399172913,    0.29656057182850487,
                                      0.026532189526576124, 0.0012426609473880784, 2.7115555687434876e-5, 2.0103343992922881e-7};
constexpr double kTailDenominator[8] = {1.0,                   0.599832206555888,     0.1369298809227358,   0.014875361290850615,
                                        0.0007868691311456133, 1.8463183175100548e-5, 1.421511758316446e-7, 2.0442631033899397e-15};

}  // namespace

Block philox(const uint32_t counter[4], const uint32_t key[2]) {
  uint32_t x0 = counter[0], x1 = counter[1], x2 = counter[2], x3 = counter[3], k0 = key[0], k1 = key[1];
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = uint64_t{0xd2511f53} * x0, p1 = uint64_t{0xcd9e8d57} * x2;
    x0 = static_cast<uint32_t>(p1 >> 32) ^ x1 ^ k0;
    x1 = static_cast<uint32_t>(p1);
    x2 = static_cast<uint32_t>(p0 >> 32) ^ x3 ^ k1;
    x3 = static_cast<uint32_t>(p0);
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
  return {{x0, x1, x2, x3}};
}

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
  for (int i = 0; i < count;) {
    const uint64_t element = first + static_cast<uint64_t>(i);
    const uint32_t counter[4] = {static_cast<uint32_t>(element >> 2), box, sample, kPurpose};
    const Block block = philox(counter, key);
    for (uint64_t lane = element & 3; lane < 4 && i < count; lane++, i++) {
      out[i] = static_cast<float>(normal_quantile((block.word[lane] + 0.5) / 4294967296.0));
    }
  }
}

}  // namespace dropstream::pixels
