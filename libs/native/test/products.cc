#include "test/harness.h"

namespace dropstream::test {

namespace {

size_t panels_of(const KernelTable& k, size_t n) { return ceil_div(n, k.panel_width); }

std::string size_text(size_t m, size_t depth, size_t n) { return " " + std::to_string(m) + "x" + std::to_string(depth) + "x" + std::to_string(n); }

// Memory of a packed matrix.
struct Packed {
  Array words;
  Type type;
  Packed(const KernelTable& k, size_t depth, size_t n, Type packed_type) : words(k.packed_floats(depth, n, packed_type)), type(packed_type) {}
  operator In() const { return {In(words).at, type}; }
  operator Out() { return {words.data(), type}; }
};

// a[m][depth] as a k-major left side: [depth][m], or words of two [⌈depth/2⌉][m].
void transpose_into(size_t m, size_t depth, const Array& a, Array& out) {
  const size_t span = a.type() == Type::bf16 ? 2 : 1;
  for (size_t t = 0; t < depth; t++)
    for (size_t i = 0; i < m; i++) out.put((t / span * m + i) * span + t % span, a.get(i * depth + t));
  if (depth % span)
    for (size_t i = 0; i < m; i++) out.put((depth / span * m + i) * span + 1, 0);
}

void round_to(Array& out, const Array& from) {
  for (size_t i = 0; i < out.size(); i++) out.put(i, from.get(i));
}

// Products of operands of type `type`, stored as `stored`.
void product_case(const KernelTable& k, Random& random, Type type, Type stored, size_t m, size_t depth, size_t n) {
  const std::string name = std::string(k.isa) + " product" + name_of(type) + " to" + name_of(stored) + size_text(m, depth, n);
  const size_t even_depth = (depth + 1) / 2 * 2, panels = panels_of(k, n);
  Array a(m * depth, type), a_transposed(m * even_depth, type), b(depth * n, type), b_transposed(n * depth, type);
  Array c(m * n, stored), other(m * n, stored), side(m * n, stored), bias(n), full(m * n);
  Packed packed(k, depth, n, type), packed2(k, depth, n, type);
  random.fill(a);
  random.fill(b);
  random.fill(bias);
  transpose_into(m, depth, a, a_transposed);
  for (size_t t = 0; t < depth; t++)
    for (size_t j = 0; j < n; j++) b_transposed.put(j * depth + t, b.get(t * n + j));
  const size_t cut = random.upto(0, depth / 2) * 2;
  k.pack_rows({depth, n, b, n, packed}, 0, panels, 0, cut);
  k.pack_rows({depth, n, b, n, packed}, 0, panels, cut, depth);
  k.pack_columns({depth, n, b_transposed, depth, packed2}, 0, panels);
  check_same_bits(name + " packs", packed.words, packed2.words);

  const ref::Product expected = ref::product(m, depth, n, a.values(), b.values());
  ref::Values with_bias = expected.c, slope(m * n), activated(m * n), magnitude = expected.magnitude;
  for (size_t i = 0; i < m * n; i++) {
    with_bias[i] += bias[i % n];
    magnitude[i] += 1;
  }
  const ProductArgs plain{m, depth, n, a, depth, false, packed, c, n, false, nullptr, Epilogue::none, nullptr};
  k.product(plain, 0, m, 0, panels);
  check_close(name, c, expected.c, 1e-7, 3e-6, &magnitude);
  // The same bits from a k-major left side, and from any split into rows and panels.
  const size_t row = random.upto(0, m), panel = random.upto(0, panels);
  const ProductArgs split{m, depth, n, a_transposed, m, true, packed, other, n, false, nullptr, Epilogue::none, nullptr};
  k.product(split, 0, row, 0, panel);
  k.product(split, row, m, 0, panel);
  k.product(split, 0, m, panel, panels);
  check_same_bits(name + " split", c, other);
  ProductArgs kept = plain;
  kept.kept = true;
  kept.c = other;
  random.fill(other);
  k.product(kept, 0, m, 0, panels);
  check_same_bits(name + " kept", c, other);
  // A bf16 result is the fp32 one rounded once.
  ProductArgs to_full = plain;
  to_full.c = full;
  k.product(to_full, 0, m, 0, panels);
  round_to(other, full);
  check_same_bits(name + " rounded", c, other);
  to_full.accumulate = true;
  k.product(to_full, 0, m, 0, panels);
  ref::Values twice = expected.c;
  for (double& x : twice) x *= 2;
  check_close(name + " accumulate", full, twice, 1e-7, 6e-6, &magnitude);

  // GELU and its slope, from the sums themselves.
  k.product({m, depth, n, a, depth, false, packed, full, n, false, bias, Epilogue::none, nullptr}, 0, m, 0, panels);
  check_close(name + " bias", full, with_bias, 1e-7, 3e-6, &magnitude);
  for (size_t i = 0; i < m * n; i++) {
    activated[i] = ref::gelu(full[i]);
    slope[i] = ref::gelu_slope(full[i]);
  }
  const bool half = stored == Type::bf16;
  k.product({m, depth, n, a, depth, false, packed, c, n, false, bias, Epilogue::gelu, side}, 0, m, 0, panels);
  check_close(name + " gelu", c, activated, 2e-7, half ? 4e-5 : 1e-6);
  check_close(name + " gelu's slope", side, slope, half ? 4e-5 : 3e-7, 0);
  k.product({m, depth, n, a, depth, false, packed, other, n, false, bias, Epilogue::gelu, nullptr}, 0, m, 0, panels);
  check_same_bits(name + " gelu without its side", c, other);
  random.fill(side, 3);
  k.product({m, depth, n, a, depth, false, packed, c, n, false, nullptr, Epilogue::times_side, side}, 0, m, 0, panels);
  for (size_t i = 0; i < m * n; i++) {
    slope[i] = expected.c[i] * side.get(i);
    magnitude[i] *= std::fabs(side.get(i));
  }
  check_close(name + " times its side", c, slope, 1e-7, 5e-6, &magnitude);
}

void weight_grad_case(const KernelTable& k, Random& random, Type type, size_t r, size_t m, size_t n) {
  const std::string name = std::string(k.isa) + " weight_grad" + name_of(type) + size_text(r, m, n);
  Array x(r * n, type), dy(r * m, type), weight(m * n), bias(m), whole(m * n), whole_bias(m), scratch(k.weight_grad_scratch);
  Packed packed(k, r, n, type);
  random.fill(x);
  random.fill(dy);
  for (Array* each : {&weight, &whole}) each->fill(1);
  for (Array* each : {&bias, &whole_bias}) each->fill(-1);
  const size_t panels = panels_of(k, n);
  k.pack_rows({r, n, x, n, packed}, 0, panels, 0, r);
  const bool packs_both = k.weight_grad_packs_both && type == Type::bf16;
  const auto args_of = [&](float* sums, float* row_sums) {
    WeightGradArgs args{r, m, n, dy, nullptr, sums, row_sums};
    (packs_both ? args.x : args.x_packed) = packs_both ? In(x) : In(packed);
    return args;
  };
  for (size_t i = 0; i < m;) {
    const size_t rows = std::min(m - i, random.upto(1, k.weight_grad_rows)), middle = random.upto(1, panels);
    k.weight_grad(args_of(weight, bias), i, i + rows, 0, middle, scratch);
    k.weight_grad(args_of(weight, bias), i, i + rows, middle, panels, scratch);
    i += rows;
  }
  ref::Product expected = ref::product(m, r, n, ref::transpose(r, m, dy.values()), x.values());
  ref::Values sums(m, -1.0);
  for (size_t t = 0; t < r; t++)
    for (size_t j = 0; j < m; j++) sums[j] += dy.get(t * m + j);
  for (size_t i = 0; i < m * n; i++) {
    expected.c[i] += 1;
    expected.magnitude[i] += 1;
  }
  check_close(name, weight, expected.c, 1e-6, 3e-6, &expected.magnitude);
  check_close(name + " bias", bias, sums, 1e-6 * (double)r, 1e-5);
  for (size_t i = 0; i < m; i += k.weight_grad_rows) k.weight_grad(args_of(whole, whole_bias), i, std::min(m, i + k.weight_grad_rows), 0, panels, scratch);
  check_same_bits(name + " in other pieces", weight, whole);
  check_same_bits(name + " bias in other pieces", bias, whole_bias);
  // The result is stored over the old contents, with the bits of adding it to zeros.
  Array stored(m * n), added(m * n);
  stored.fill(NAN);
  added.fill(0);
  WeightGradArgs storing = args_of(stored, nullptr), adding = args_of(added, nullptr);
  storing.accumulate = false;
  for (const WeightGradArgs* args : {&storing, &adding})
    for (size_t i = 0; i < m; i += k.weight_grad_rows) k.weight_grad(*args, i, std::min(m, i + k.weight_grad_rows), 0, panels, scratch);
  check_same_bits(name + " stored", stored, added);
  if (packs_both) return;
  // The other side packed beforehand.
  Array left(k.packed_left_floats(r, m, type)), by_panels(m * n), by_panels_bias(m);
  by_panels.fill(1);
  by_panels_bias.fill(-1);
  const size_t half = random.upto(0, r / 2) * 2, middle = random.upto(0, panels);
  for (const auto& [begin, end] : {std::pair{size_t{0}, half}, std::pair{half, r}}) k.pack_left({r, m, dy, m, {left.data(), type}}, begin, end);
  const WeightGradArgs other{r, m, n, nullptr, nullptr, by_panels, by_panels_bias, x, {left.data(), type}};
  for (size_t i = 0; i < m; i += 2 * k.weight_grad_rows) {
    const size_t end = std::min(m, i + 2 * k.weight_grad_rows);
    k.weight_grad(other, i, end, 0, middle, scratch);
    k.weight_grad(other, i, end, middle, panels, scratch);
  }
  check_same_bits(name + " with dy packed", weight, by_panels);
  stored.fill(NAN);
  WeightGradArgs storing_other{r, m, n, nullptr, nullptr, stored, nullptr, x, {left.data(), type}};
  storing_other.accumulate = false;
  k.weight_grad(storing_other, 0, m, 0, panels, scratch);
  check_same_bits(name + " stored with dy packed", stored, added);
  check_same_bits(name + " bias with dy packed", bias, by_panels_bias);
}

// Weights are fp32: packed as bf16 they are what their rounded copy would be.
void rounding_case(const KernelTable& k, Random& random, size_t depth, size_t n) {
  const std::string name = std::string(k.isa) + " rounding pack " + std::to_string(depth) + "x" + std::to_string(n);
  const size_t panels = panels_of(k, n);
  Array b(depth * n), b_transposed(n * depth), half(depth * n, Type::bf16);
  random.fill(b);
  b[random.upto(0, depth * n - 1)] = NAN;
  b[random.upto(0, depth * n - 1)] = -INFINITY;
  round_to(half, b);
  for (size_t t = 0; t < depth; t++)
    for (size_t j = 0; j < n; j++) b_transposed[j * depth + t] = b[t * n + j];
  Packed rounded(k, depth, n, Type::bf16), expected(k, depth, n, Type::bf16), rounded_transposed(k, depth, n, Type::bf16);
  k.pack_rows({depth, n, b, n, rounded}, 0, panels, 0, depth);
  k.pack_rows({depth, n, half, n, expected}, 0, panels, 0, depth);
  k.pack_columns({depth, n, b_transposed, depth, rounded_transposed}, 0, panels);
  check_same_bits(name + " rows", rounded.words, expected.words);
  check_same_bits(name + " columns", rounded_transposed.words, expected.words);
}

// Infinities and NaN stay in their row and column, with the values that the formula gives.
void special_case(const KernelTable& k, Type type, size_t m, size_t depth, size_t n) {
  const std::string name = std::string(k.isa) + " product of what is not finite" + name_of(type) + size_text(m, depth, n);
  Array a(m * depth, type), b(depth * n, type), c(m * n, type);
  Packed packed(k, depth, n, type);
  a.fill(1);
  b.fill(1);
  a.put(0 * depth + depth - 1, NAN);
  a.put(1 * depth, INFINITY);
  b.put((depth - 1) * n + n - 1, -INFINITY);
  k.pack_rows({depth, n, b, n, packed}, 0, panels_of(k, n), 0, depth);
  k.product({m, depth, n, a, depth, false, packed, c, n, false, nullptr, Epilogue::none, nullptr}, 0, m, 0, panels_of(k, n));
  bool right = true;
  for (size_t i = 0; i < m; i++)
    for (size_t j = 0; j < n; j++) {
      const float x = c.get(i * n + j);
      const bool corner = j == n - 1;
      right &= i == 0 ? std::isnan(x) : i == 1 ? (corner ? std::isnan(x) : x == INFINITY) : corner ? x == -INFINITY : x == (float)depth;
    }
  check(right, name);
}

void product_cases(const KernelTable& k, Random& random, Type type, Type stored) {
  product_case(k, random, type, stored, 1, 1, 1);
  product_case(k, random, type, stored, 17, 16, 17);
  product_case(k, random, type, stored, 50, 1100, 70);  // more than one depth slice
  product_case(k, random, type, stored, 96, 64, 192);
  product_case(k, random, type, stored, 40, 2100, 40);
  product_case(k, random, type, stored, 34, 196, 330);   // more panels than those whose copied tiles are kept
  product_case(k, random, type, stored, 33, 520, 1100);  // more panels than stay in the cache
  for (int i = 0; i < 40; i++) product_case(k, random, type, stored, random.upto(1, 110), random.upto(1, 90), random.upto(1, 150));
  // No rows, no panels: nothing is touched.
  const ProductArgs none{4, 8, 8, In(nullptr, type), 8, false, In(nullptr, type), Out(nullptr, stored), 8, false, nullptr, Epilogue::none, nullptr};
  k.product(none, 0, 0, 0, 1);
  k.product(none, 0, 4, 1, 1);
}

}  // namespace

void test_products(const KernelTable& k) {
  Random random(11);
  for (const Type type : kTypes) {
    for (const Type stored : kTypes) product_cases(k, random, type, stored);
    weight_grad_case(k, random, type, 601, 50, 64);
    weight_grad_case(k, random, type, 290, 400, 70);  // more rows and columns than a job of tiles rearranges at a time
    weight_grad_case(k, random, type, 1100, 20, 330);
    for (int i = 0; i < 25; i++) weight_grad_case(k, random, type, random.upto(1, 300), random.upto(1, 100), random.upto(1, 150));
    for (const size_t depth : {2u, 3u, 7u, 40u}) special_case(k, type, 9, depth, 70);
  }
  for (int i = 0; i < 25; i++) rounding_case(k, random, random.upto(1, 100), random.upto(1, 150));
}

}  // namespace dropstream::test
