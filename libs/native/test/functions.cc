#include <iterator>

#include "test/harness.h"

namespace dropstream::test {

namespace {

// GELU and its slope as bf16, which products compute from their sums: over the whole line, beside every border of the table in
// kernels/amx/gelu.h, and of what is not finite. Rounding keeps the order, so a result lies between the rounded ends of what the error of its
// formula allows.
void behind_product(const KernelTable& k) {
  const std::string isa = k.isa, name = isa + " product with GELU";
  const bool by_table = isa == "amx" || isa == "tile_model_avx512_bf16";  // the others: short_tail in simd/functions.h
  const float special[] = {NAN, INFINITY, -INFINITY, 1e30f, -1e30f, -0.0f, 1e-40f, -1e-40f};
  const size_t steps = 28 * 16 + 1, m = steps + std::size(special), n = 96, panels = ceil_div(n, k.panel_width);
  Array a(m, Type::bf16), b(n, Type::bf16), bias(n), words(k.packed_floats(1, n, Type::bf16));
  Array x(m * n), values(m * n, Type::bf16), slopes(m * n, Type::bf16);
  // The sums: multiples of 1/16, the numbers right beside them, and 93 between each two.
  for (size_t i = 0; i < m; i++) a.put(i, i < steps ? -14.0f + (float)i / 16 : special[i - steps]);
  for (size_t j = 0; j < n; j++) bias[j] = j < 3 ? 5e-7f * ((float)j - 1) : (float)(j - 2) / (16.0f * (float)(n - 2));
  b.fill(1);
  k.pack_rows({1, n, b, n, {words.data(), Type::bf16}}, 0, panels, 0, 1);
  const In packed{In(words).at, Type::bf16};
  k.product({m, 1, n, a, 1, false, packed, x, n, false, bias, Epilogue::none, nullptr}, 0, m, 0, panels);
  k.product({m, 1, n, a, 1, false, packed, values, n, false, bias, Epilogue::gelu, slopes}, 0, m, 0, panels);
  const auto compare = [&](const char* what, float at, float got, double want, double error) {
    const float least = from_bf16(to_bf16((float)(want - error))), most = from_bf16(to_bf16((float)(want + error)));
    const bool right = std::isnan(at) ? std::isnan(got) : least <= got && got <= most;
    if (!right) check(false, name + what + " of " + std::to_string(at) + ": " + std::to_string(got) + ", expected " + std::to_string(want));
  };
  for (size_t i = 0; i < m * n; i++) {
    const bool endless = std::isinf(x[i]), above = x[i] > 0;  // 0 · ∞ in the reference
    const double value = endless ? (above ? INFINITY : 0) : ref::gelu(x[i]), slope = endless ? above : ref::gelu_slope(x[i]);
    compare(", value", x[i], values.get(i), value, 2e-7 + (endless ? 0 : (by_table ? 1e-5 : 4e-5) * std::fabs(value)));
    compare(", slope", x[i], slopes.get(i), slope, by_table ? 1e-5 : 4e-5);
  }
  check(std::isnan(x[steps * n]) && x[(steps + 1) * n] == INFINITY && x[(steps + 2) * n] == -INFINITY, name + " sums what is not finite");
}

}  // namespace

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
  behind_product(k);
}

}  // namespace dropstream::test
