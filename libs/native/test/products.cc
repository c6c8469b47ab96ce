#include "test/harness.h"

namespace dropstream::test {

namespace {

size_t panels_of(const KernelTable& k, size_t n) { return (n + k.panel_width - 1) / k.panel_width; }

void product_case(const KernelTable& k, Random& random, size_t m, size_t depth, size_t n) {
  const std::string name = std::string(k.isa) + " product " + std::to_string(m) + "x" + std::to_string(depth) + "x" + std::to_string(n);
  Array a(m * depth), a_across(m * depth), b(depth * n), b_across(n * depth), bias(n), packed(k.packed_floats(depth, n)), packed2(k.packed_floats(depth, n));
  Array c(m * n), side(m * n), other(m * n);
  random.fill(a);
  random.fill(b);
  random.fill(bias);
  for (size_t i = 0; i < m; i++)
    for (size_t t = 0; t < depth; t++) a_across[t * m + i] = a[i * depth + t];
  for (size_t t = 0; t < depth; t++)
    for (size_t j = 0; j < n; j++) b_across[j * depth + t] = b[t * n + j];
  const size_t panels = panels_of(k, n), cut = random.upto(0, depth);
  k.pack_rows({depth, n, b, n, packed}, 0, panels, 0, cut);
  k.pack_rows({depth, n, b, n, packed}, 0, panels, cut, depth);
  k.pack_columns({depth, n, b_across, depth, packed2}, 0, panels);
  check_same_bits(name + " packs", packed, packed2, packed.size());

  const ref::Product expected = ref::product(m, depth, n, a.values(), b.values());
  ref::Values with_bias = expected.c, slope(m * n), activated(m * n), magnitude = expected.magnitude;
  for (size_t i = 0; i < m * n; i++) {
    with_bias[i] += bias[i % n];
    magnitude[i] += 1;
  }
  k.product({m, depth, n, a, depth, false, packed, c, n, false, nullptr, Epilogue::none, nullptr}, 0, m, 0, panels);
  check_close(name, c, expected.c, 1e-7, 3e-6, &magnitude);
  // The same bits from a k-major left side, and from any split into rows and panels.
  const size_t row = random.upto(0, m), panel = random.upto(0, panels);
  const ProductArgs split{m, depth, n, a_across, m, true, packed, other, n, false, nullptr, Epilogue::none, nullptr};
  k.product(split, 0, row, 0, panel);
  k.product(split, row, m, 0, panel);
  k.product(split, 0, m, panel, panels);
  check_same_bits(name + " split", c, other, m * n);
  k.product({m, depth, n, a, depth, false, packed, other, n, true, nullptr, Epilogue::none, nullptr}, 0, m, 0, panels);
  ref::Values twice = expected.c;
  for (double& x : twice) x *= 2;
  check_close(name + " accumulate", other, twice, 1e-7, 6e-6, &magnitude);
  k.product({m, depth, n, a, depth, false, packed, c, n, false, bias, Epilogue::gelu, side}, 0, m, 0, panels);
  check_close(name + " bias", side, with_bias, 1e-7, 3e-6, &magnitude);
  for (size_t i = 0; i < m * n; i++) activated[i] = ref::gelu(side[i]);
  check_close(name + " gelu", c, activated, 2e-7, 1e-6);
  random.fill(side, 3);
  k.product({m, depth, n, a, depth, false, packed, c, n, false, nullptr, Epilogue::gelu_slope, side}, 0, m, 0, panels);
  for (size_t i = 0; i < m * n; i++) slope[i] = expected.c[i] * ref::gelu_slope(side[i]);
  check_close(name + " gelu slope", c, slope, 1e-6, 5e-6, &magnitude);
}

void weight_grad_case(const KernelTable& k, Random& random, size_t r, size_t m, size_t n) {
  const std::string name = std::string(k.isa) + " weight_grad " + std::to_string(r) + "x" + std::to_string(m) + "x" + std::to_string(n);
  Array x(r * n), dy(r * m), packed(k.packed_floats(r, n)), weight(m * n), bias(m), scratch(k.weight_grad_scratch);
  random.fill(x);
  random.fill(dy);
  weight.fill(1);
  bias.fill(-1);
  const size_t panels = panels_of(k, n);
  k.pack_rows({r, n, x, n, packed}, 0, panels, 0, r);
  for (size_t i = 0; i < m;) {
    const size_t rows = std::min(m - i, random.upto(1, k.weight_grad_rows)), middle = random.upto(0, panels);
    k.weight_grad({r, m, n, dy, packed, weight, bias}, i, i + rows, 0, middle, scratch);
    k.weight_grad({r, m, n, dy, packed, weight, bias}, i, i + rows, middle, panels, scratch);
    if (middle == 0) {  // the bias belongs to the first panel's job, which then ran twice
      for (size_t j = i; j < i + rows; j++) {
        float sum = 0;
        for (size_t t = 0; t < r; t++) sum += dy[t * m + j];
        bias[j] -= sum;
      }
    }
    i += rows;
  }
  ref::Product expected = ref::product(m, r, n, ref::transpose(r, m, dy.values()), x.values());
  ref::Values sums(m, -1.0);
  for (size_t t = 0; t < r; t++)
    for (size_t j = 0; j < m; j++) sums[j] += dy[t * m + j];
  for (size_t i = 0; i < m * n; i++) {
    expected.c[i] += 1;
    expected.magnitude[i] += 1;
  }
  check_close(name, weight, expected.c, 1e-6, 3e-6, &expected.magnitude);
  check_close(name + " bias", bias, sums, 1e-6 * (double)r, 1e-5);
}

}  // namespace

void test_products(const KernelTable& k) {
  Random random(11);
  product_case(k, random, 1, 1, 1);
  product_case(k, random, 17, 16, 17);
  product_case(k, random, 50, 1100, 70);  // three depth slices
  product_case(k, random, 96, 64, 192);
  for (int i = 0; i < 40; i++) product_case(k, random, random.upto(1, 110), random.upto(1, 90), random.upto(1, 150));
  weight_grad_case(k, random, 600, 50, 64);
  for (int i = 0; i < 25; i++) weight_grad_case(k, random, random.upto(1, 300), random.upto(1, 100), random.upto(1, 150));
}

}  // namespace dropstream::test
