#include "test/harness.h"

namespace dropstream::test {

// GELU over the whole line: Φ (half the error of erf) and its gradient, and the relative accuracy of the tail on the negative side. gelu =
// x·Φ(x) is itself rounded, so its error is that of Φ plus half a unit in the last place.
void test_functions(const KernelTable& k) {
  const size_t n = 400001;
  Array x(n), y(n), dy(n), dx(n);
  for (size_t i = 0; i < n; i++) {
    x[i] = -14.0f + 28.0f * (float)i / (float)(n - 1);
    dy[i] = 1;
  }
  k.gelu(x, y, n);
  k.gelu_grad(x, dy, dx, n);
  double worst_phi = 0, worst_slope = 0, worst_tail = 0;
  for (size_t i = 0; i < n; i++) {
    const double exact = ref::gelu(x[i]);
    if (std::fabs(x[i]) > 1e-3) worst_phi = std::fmax(worst_phi, std::fabs((y[i] - exact) / x[i]));
    if (x[i] < -1e-3 && x[i] > -5) worst_tail = std::fmax(worst_tail, std::fabs(y[i] / exact - 1));
    worst_slope = std::fmax(worst_slope, std::fabs(dx[i] - ref::gelu_slope(x[i])));
  }
  const std::string isa = k.isa;
  check(worst_phi <= 1.3e-7, isa + " normal distribution error " + std::to_string(worst_phi * 1e7) + "e-7");
  check(worst_tail <= 3e-6, isa + " gelu tail relative error " + std::to_string(worst_tail * 1e6) + "e-6");
  check(worst_slope <= 3e-7, isa + " gelu slope error " + std::to_string(worst_slope * 1e7) + "e-7");
  printf("%s: normal distribution error %.2e, gelu slope error %.2e\n", k.isa, worst_phi, worst_slope);
  x[0] = NAN;
  x[1] = INFINITY;
  k.gelu(x, y, 2);
  check(std::isnan(y[0]) && y[1] == INFINITY, isa + " gelu of NaN and infinity");
}

}  // namespace dropstream::test
