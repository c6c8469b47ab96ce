#include "test/harness.h"

namespace dropstream::test {

namespace {

struct Types {
  Type x, dy, y;  // y: that of dx, too
};

void layer_norm_case(const KernelTable& k, Random& random, size_t rows, size_t width, const Types& types) {
  const std::string name = std::string(k.isa) + " layer_norm " + std::to_string(rows) + "x" + std::to_string(width) + name_of(types.x) + name_of(types.dy);
  Array x(rows * width, types.x), weight(width), bias(width), dy(rows * width, types.dy), y(rows * width, types.y), mean(rows), rstd(rows),
      dx(rows * width, types.y);
  random.fill(x, 2);
  for (size_t i = 0; i < x.size(); i++) x.put(i, x.get(i) + 30);  // a mean far from 0 shows an unstable variance
  random.fill(weight);
  random.fill(bias);
  random.fill(dy);
  const ref::LayerNorm expected = ref::layer_norm(rows, width, 1e-6f, x.values(), weight.values(), bias.values(), dy.values());
  k.layer_norm({width, 1e-6f, x, weight, bias, y, mean, rstd}, 0, rows);
  double largest = 1;
  for (double r : expected.rstd) largest = std::fmax(largest, r);
  const double loose = width < 4 || largest > 30 ? 40 : 1;  // nearly equal values leave few digits of their difference
  check_close(name + " y", y, expected.y, 1e-5 * loose, 1e-5 * loose);
  check_close(name + " mean", mean, expected.mean, 1e-5, 1e-6);
  const size_t per_block = 32, blocks = ceil_div(rows, per_block);
  Array partial(blocks * 2 * width), dweight(width), dbias(width);
  dweight.fill(0);
  dbias.fill(0);
  for (size_t block = 0; block < blocks; block++) k.layer_norm_grad({rows, width, per_block, x, weight, mean, rstd, dy, dx, partial}, block);
  k.sum_samples(partial, blocks, 2 * width, dweight, 0, width);
  k.sum_samples(partial + width, blocks, 2 * width, dbias, 0, width);
  check_close(name + " dx", dx, expected.dx, 4e-5 * largest * loose, 1e-4 * loose);
  check_close(name + " dweight", dweight, expected.dweight, 1e-5 * (double)rows * loose, 1e-4 * loose);
  check_close(name + " dbias", dbias, expected.dbias, 1e-6 * (double)rows, 1e-5);
}

void cross_entropy_case(const KernelTable& k, Random& random, size_t rows, size_t classes, Type type) {
  const std::string name = std::string(k.isa) + " cross_entropy " + std::to_string(rows) + "x" + std::to_string(classes);
  Array logits(rows * classes), targets(rows * classes), loss(rows), dlogits(rows * classes, type);
  random.fill(logits, 20);
  for (size_t i = 0; i < targets.size(); i++) targets[i] = std::fabs(random.value()) / (float)classes;
  const ref::CrossEntropy expected = ref::cross_entropy(rows, classes, logits.values(), targets.values(), 0.25);
  k.cross_entropy({classes, logits, targets, loss, dlogits, 0.25f}, 0, rows);
  check_close(name + " loss", loss, expected.loss, 1e-6, 1e-6);
  check_close(name + " dlogits", dlogits, expected.dlogits, 1e-7, 2e-6);
}

void dropout_case(const KernelTable& k, Random& random, size_t elements, double rate, Type from, Type to) {
  const std::string name = std::string(k.isa) + " dropout " + std::to_string(elements) + " p=" + std::to_string(rate);
  DropoutSite site;
  const uint64_t seed = random.word();
  site.on = true;
  site.key0 = (uint32_t)seed;
  site.key1 = (uint32_t)(seed >> 32);
  site.site = (uint32_t)random.upto(0, 60);
  site.step = (uint32_t)random.word();
  site.limit = (uint32_t)((uint64_t)std::ceil((1 - rate) * 4294967296.0) - 1);
  site.scale = (float)(1 / (1 - rate));
  site.elements = elements;
  const uint32_t index[1] = {4};
  Array x(elements, from), y(elements, to);
  random.fill(x);
  const size_t begin = random.upto(0, elements), end = random.upto(begin, elements);
  const DropoutArgs args{elements, x, y, site, {index, 1000, 0}};
  k.dropout(args, 0, 0, begin);
  k.dropout(args, 0, begin, end);
  k.dropout(args, 0, end, elements);
  bool same = true;
  for (size_t e = 0; e < elements; e++) {
    const float value = ref::dropout_word(seed, site.site, 1004, site.step, e) <= site.limit ? x.get(e) * site.scale : 0.0f;
    same &= y.get(e) == (to == Type::bf16 ? from_bf16(to_bf16(value)) : value);
  }
  check(same, name);
}

void elementwise_case(const KernelTable& k, Random& random, size_t n, const Types& types) {
  const std::string isa = std::string(k.isa) + name_of(types.x) + name_of(types.dy);
  Array a(n, types.x), b(n, types.dy), y(n, types.y);
  random.fill(a, 3);
  random.fill(b);
  ref::Values gelu(n), slope(n), sum(n), product(n), scaled_sum(n), scaled(n);
  for (size_t i = 0; i < n; i++) {
    gelu[i] = ref::gelu(a.get(i));
    slope[i] = b.get(i) * ref::gelu_slope(a.get(i));
    sum[i] = a.get(i) + b.get(i);
    product[i] = (double)a.get(i) * b.get(i);
    scaled_sum[i] = a.get(i) + 1.5 * b.get(i);
    scaled[i] = a.get(i) * 1.5;
  }
  k.gelu(a, y, n);
  check_close(isa + " gelu", y, gelu, 4e-7, 1e-6);
  k.gelu_grad(a, b, y, n);
  check_close(isa + " gelu_grad", y, slope, 4e-7, 1e-6);
  k.add(a, b, y, n);
  check_close(isa + " add", y, sum, 0, 1e-7);
  k.multiply(a, b, y, n);
  check_close(isa + " multiply", y, product, 0, 1e-7);
  k.add_scaled(a, b, 1.5f, y, n);
  check_close(isa + " add_scaled", y, scaled_sum, 4e-7, 1e-7);
  k.scale(a, 1.5f, y, n);
  check_close(isa + " scale", y, scaled, 0, 1e-7);
  k.copy(a, y, n);
  check_close(isa + " copy", y, a.values(), 0, 0);
}

// Halfway cases round to even, the largest finite number rounds to infinity, and NaN stays NaN: vector stores agree with to_bf16.
void rounding_case(const KernelTable& k, Random& random) {
  const size_t n = 4096 + 37;
  Array x(n), y(n, Type::bf16);
  for (size_t i = 0; i < n; i++) {
    const uint32_t bits = (uint32_t)random.word(), halfway = i % 3 ? bits : (bits & 0xffff0000u) | 0x8000u;
    memcpy(x.data() + i, &halfway, sizeof halfway);
    if (!(halfway & 0x7f800000u)) x[i] = 0;  // denormal numbers: flushed by one path, kept by the others
  }
  x[0] = INFINITY;
  x[1] = -INFINITY;
  x[2] = NAN;
  x[3] = 3.4028235e38f;
  k.copy(x, y, n);
  bool same = true;
  for (size_t i = 0; i < n; i++) same &= In(y).halves()[i].bits == to_bf16(x[i]).bits || (std::isnan(x[i]) && std::isnan(y.get(i)));
  check(same, std::string(k.isa) + " rounding to bf16");
}

}  // namespace

void test_rows(const KernelTable& k) {
  Random random(37);
  rounding_case(k, random);
  for (const Type from : kTypes)
    for (const Type upstream : kTypes)
      for (const Type to : kTypes) {
        const Types types{from, upstream, to};
        for (const size_t width : {1, 2, 16, 64, 192, 768}) layer_norm_case(k, random, random.upto(1, 70), width, types);
        for (int i = 0; i < 12; i++) layer_norm_case(k, random, random.upto(1, 70), random.upto(4, 300), types);
        for (int i = 0; i < 6; i++) elementwise_case(k, random, random.upto(1, 200), types);
      }
  for (const Type type : kTypes)
    for (const size_t classes : {1, 2, 10, 100, 1000}) cross_entropy_case(k, random, 7, classes, type);
  for (int i = 0; i < 40; i++)
    dropout_case(k, random, random.upto(1, 5000),
                 i % 20 == 0   ? 1e-12
                 : i % 20 == 1 ? 0.999999999999
                               : std::fabs(random.value()) * 0.99,
                 kTypes[i / 10 % 2], kTypes[i / 20]);
}

}  // namespace dropstream::test
