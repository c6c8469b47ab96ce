#include "test/harness.h"

namespace dropstream::test {

namespace {

void layer_norm_case(const KernelTable& k, Random& random, size_t rows, size_t width) {
  const std::string name = std::string(k.isa) + " layer_norm " + std::to_string(rows) + "x" + std::to_string(width);
  Array x(rows * width), weight(width), bias(width), dy(rows * width), y(rows * width), mean(rows), rstd(rows), dx(rows * width);
  random.fill(x, 2);
  for (size_t i = 0; i < x.size(); i++) x[i] += 30;  // a mean far from 0 shows an unstable variance
  random.fill(weight);
  random.fill(bias);
  random.fill(dy);
  const ref::LayerNorm expected = ref::layer_norm(rows, width, 1e-6f, x.values(), weight.values(), bias.values(), dy.values());
  k.layer_norm({width, 1e-6f, x, weight, bias, y, mean, rstd}, 0, rows);
  const double loose = width < 4 ? 40 : 1;  // two nearly equal values leave few digits of their difference
  check_close(name + " y", y, expected.y, 1e-5 * loose, 1e-5 * loose);
  check_close(name + " mean", mean, expected.mean, 1e-5, 1e-6);
  const size_t per_block = 32, blocks = (rows + per_block - 1) / per_block;
  Array partial(blocks * 2 * width), dweight(width), dbias(width);
  dweight.fill(0);
  dbias.fill(0);
  for (size_t block = 0; block < blocks; block++) k.layer_norm_grad({rows, width, per_block, x, weight, mean, rstd, dy, dx, partial}, block);
  k.sum_samples(partial, blocks, 2 * width, dweight, 0, width);
  k.sum_samples(partial + width, blocks, 2 * width, dbias, 0, width);
  double largest = 1;
  for (double r : expected.rstd) largest = std::fmax(largest, r);
  check_close(name + " dx", dx, expected.dx, 4e-5 * largest * loose, 1e-4 * loose);
  check_close(name + " dweight", dweight, expected.dweight, 1e-5 * (double)rows * loose, 1e-4 * loose);
  check_close(name + " dbias", dbias, expected.dbias, 1e-6 * (double)rows, 1e-5);
}

void cross_entropy_case(const KernelTable& k, Random& random, size_t rows, size_t classes) {
  const std::string name = std::string(k.isa) + " cross_entropy " + std::to_string(rows) + "x" + std::to_string(classes);
  Array logits(rows * classes), targets(rows * classes), loss(rows), dlogits(rows * classes);
  random.fill(logits, 20);
  for (size_t i = 0; i < targets.size(); i++) targets[i] = std::fabs(random.value()) / (float)classes;
  const ref::CrossEntropy expected = ref::cross_entropy(rows, classes, logits.values(), targets.values(), 0.25);
  k.cross_entropy({classes, logits, targets, loss, dlogits, 0.25f}, 0, rows);
  check_close(name + " loss", loss, expected.loss, 1e-6, 1e-6);
  check_close(name + " dlogits", dlogits, expected.dlogits, 1e-7, 2e-6);
}

void dropout_case(const KernelTable& k, Random& random, size_t elements, double rate) {
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
  Array x(elements), y(elements);
  random.fill(x);
  const size_t begin = random.upto(0, elements), end = random.upto(begin, elements);
  const DropoutArgs args{elements, x, y, site, {index, 1000, 0}};
  k.dropout(args, 0, 0, begin);
  k.dropout(args, 0, begin, end);
  k.dropout(args, 0, end, elements);
  bool same = true;
  for (size_t e = 0; e < elements; e++)
    same &= y[e] == (ref::dropout_word(seed, site.site, 1004, site.step, e) <= site.limit ? x[e] * site.scale : 0.0f);
  check(same, name);
}

}  // namespace

void test_rows(const KernelTable& k) {
  Random random(37);
  for (const size_t width : {1, 2, 16, 64, 192, 768}) layer_norm_case(k, random, random.upto(1, 70), width);
  for (int i = 0; i < 12; i++) layer_norm_case(k, random, random.upto(1, 70), random.upto(4, 300));
  for (const size_t classes : {1, 2, 10, 100, 1000}) cross_entropy_case(k, random, 7, classes);
  for (int i = 0; i < 20; i++) dropout_case(k, random, random.upto(1, 5000), i == 0 ? 1e-12 : i == 1 ? 0.999999999999 : std::fabs(random.value()) * 0.99);
}

}  // namespace dropstream::test
