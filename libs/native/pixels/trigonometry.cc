#include "trigonometry.h"

#include <cmath>

namespace dropstream::pixels {
namespace {

// An unevaluated sum high + low with |low| ≤ ulp(high) / 2, which has about 106 bits, computed with + − × alone (Dekker, Knuth).
struct Pair {
  double high, low;
};

Pair two_sum(double a, double b) {
  const double sum = a + b, part = sum - a;
  return {sum, (a - (sum - part)) + (b - part)};
}

Pair two_product(double a, double b) {
  constexpr double splitter = 134217729.0;  // 2^27 + 1
  const double p = a * b;
  const double ta = splitter * a, ah = ta - (ta - a), al = a - ah;
  const double tb = splitter * b, bh = tb - (tb - b), bl = b - bh;
  return {p, ((ah * bh - p) + ah * bl + al * bh) + al * bl};
}

Pair add(Pair a, Pair b) {
  const Pair s = two_sum(a.high, b.high);
  return two_sum(s.high, s.low + (a.low + b.low));
}

Pair multiply(Pair a, Pair b) {
  const Pair p = two_product(a.high, b.high);
  return two_sum(p.high, p.low + (a.high * b.low + a.low * b.high));
}

Pair divide(Pair a, double b) {
  const double quotient = a.high / b;
  const Pair back = two_product(quotient, b);
  return two_sum(quotient, ((a.high - back.high) - back.low + a.low) / b);
}

// π/2 to about 106 bits.
constexpr Pair kHalfPi = {1.5707963267948966, 6.123233995736766e-17};
constexpr double kRadiansPerDegree = 3.141592653589793 / 180.0;

// Taylor series around 0 of sin (start 1) or cos (start 0), |x| ≤ π/4: terms up to x^27 leave less than 1e-31.
Pair series(Pair x, int start) {
  const Pair square = multiply(x, x);
  Pair term = start == 1 ? x : Pair{1.0, 0.0};
  Pair sum = term;
  for (int n = start + 2; n <= 28; n += 2) {
    term = divide(multiply(term, square), -static_cast<double>(n * (n - 1)));
    sum = add(sum, term);
  }
  return sum;
}

// The double that is nearest to the decimal of 15 places that is nearest to x, |x| ≤ 1; ties to even.
double round_to_15_decimals(double x) {
  constexpr double scale = 1e15;
  const double size = x < 0 ? -x : x;
  const Pair scaled = two_product(size, scale);  // exact
  auto whole = static_cast<long long>(scaled.high);
  const double rest = (scaled.high - static_cast<double>(whole)) + scaled.low;
  if (rest > 0.5 || (rest == 0.5 && (whole & 1) != 0)) whole++;
  if (rest < -0.5) whole--;
  const double rounded = static_cast<double>(whole) / scale;
  return x < 0 ? -rounded : rounded;
}

}  // namespace

Rotation rotation_of(double degrees) {
  double turn = std::fmod(degrees, 360.0);  // exact by definition, unlike the functions that are avoided here
  if (turn < 0) turn += 360.0;
  const double angle = -(turn * kRadiansPerDegree);
  const int quarter = static_cast<int>(angle / kHalfPi.high - 0.5);  // nearest multiple of π/2; angle ≤ 0
  const Pair whole = multiply(kHalfPi, {static_cast<double>(quarter), 0.0});
  const Pair rest = add({angle, 0.0}, {-whole.high, -whole.low});
  const double s = series(rest, 1).high, c = series(rest, 0).high;
  switch (((quarter % 4) + 4) % 4) {
    case 0: return {round_to_15_decimals(c), round_to_15_decimals(s)};
    case 1: return {round_to_15_decimals(-s), round_to_15_decimals(c)};
    case 2: return {round_to_15_decimals(-c), round_to_15_decimals(-s)};
    default: return {round_to_15_decimals(s), round_to_15_decimals(-c)};
  }
}

}  // namespace dropstream::pixels
