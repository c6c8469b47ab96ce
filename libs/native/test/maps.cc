#include <algorithm>

#include "ref/maps.h"
#include "test/harness.h"

namespace dropstream::test {

namespace {

void transpose_case(const KernelTable& k, Random& random, size_t rows, size_t columns, Type from, Type to) {
  const std::string name = std::string(k.isa) + " transpose " + std::to_string(rows) + "x" + std::to_string(columns);
  Array x(rows * columns, from), y(rows * columns, to);
  random.fill(x);
  const size_t middle = random.upto(0, rows);
  k.transpose(x, rows, columns, y, middle, rows);
  k.transpose(x, rows, columns, y, 0, middle);
  check_close(name, y, ref::transpose(rows, columns, x.values()), 0, 0);
}

void merge_case(const KernelTable& k, Random& random, const ref::Map& m, size_t order, Type from, Type to) {
  const std::string name = std::string(k.isa) + " merge_patches " + std::to_string(m.height) + "x" + std::to_string(m.width) + "x" +
                           std::to_string(m.channels) + " order " + std::to_string(order);
  const size_t floats = m.samples * m.height * m.width * m.channels, rows = m.samples * m.height / 2, middle = random.upto(0, rows);
  Array x(floats, from), y(floats, to), back(floats, from);
  random.fill(x);
  const MergeArgs forward{m.height, m.width, m.channels, order, x, y}, backward{m.height, m.width, m.channels, order, y, back};
  k.merge_patches(forward, middle, rows);
  k.merge_patches(forward, 0, middle);
  check_close(name, y, ref::merge_patches(m, order, x.values()), 0, 0);
  k.merge_patches_grad(backward, 0, middle);
  k.merge_patches_grad(backward, middle, rows);
  ref::Values expected = x.values();
  if (from != to)
    for (double& value : expected) value = from_bf16(to_bf16((float)value));
  check_close(name + " and back", back, expected, 0, 0);
}

void layer_scale_case(const KernelTable& k, Random& random, size_t rows, size_t width, Type from, Type upstream, Type to) {
  const std::string name = std::string(k.isa) + " layer_scale " + std::to_string(rows) + "x" + std::to_string(width);
  const size_t per_block = 32, blocks = ceil_div(rows, per_block);
  Array x(rows * width, from), gamma(width), dy(rows * width, upstream), y(rows * width, to), dx(rows * width, to), partial(blocks * width), dgamma(width);
  random.fill(x);
  random.fill(gamma, 1e-6f);  // the initial value of a layer scale
  random.fill(dy);
  dgamma.fill(0);
  const ref::LayerScale expected = ref::layer_scale(rows, width, x.values(), gamma.values(), dy.values());
  k.layer_scale(x, gamma, y, rows, width);
  for (size_t block = blocks; block-- > 0;) k.layer_scale_grad({rows, width, per_block, x, gamma, dy, dx, partial}, block);
  k.sum_samples(partial, blocks, width, dgamma, 0, width);
  check_close(name + " y", y, expected.y, 0, 1e-7);
  check_close(name + " dx", dx, expected.dx, 0, 1e-7);
  check_close(name + " dgamma", dgamma, expected.dgamma, 1e-6 * (double)rows, 0);
}

void convolution_case(const KernelTable& k, Random& random, const ref::Map& m, size_t kernel, Type from = Type::fp32, Type upstream = Type::fp32) {
  const std::string name = std::string(k.isa) + " depthwise_conv " + std::to_string(m.height) + "x" + std::to_string(m.width) + "x" +
                           std::to_string(m.channels) + " k=" + std::to_string(kernel);
  const size_t floats = m.samples * m.height * m.width * m.channels, taps = kernel * kernel, rows = m.samples * m.height, middle = random.upto(0, rows);
  const Type y_type = random.upto(0, 1) ? from : upstream, dx_type = random.upto(0, 1) ? from : upstream;
  Array x(floats, from), dy(floats, upstream), y(floats, y_type), dx(floats, dx_type), weight(taps * m.channels), transposed(taps * m.channels),
      bias(m.channels);
  Array partial(m.samples * (taps + 1) * m.channels), dweight(taps * m.channels), dbias(m.channels);
  for (Array* array : {&x, &dy, &weight, &bias}) random.fill(*array);
  const ref::Convolution expected = ref::depthwise_conv(m, kernel, x.values(), weight.values(), bias.values(), dy.values());
  k.transpose(weight, m.channels, taps, transposed, 0, m.channels);
  const DepthwiseArgs forward{m.height, m.width, m.channels, kernel, false, x, transposed, bias, y},
      backward{m.height, m.width, m.channels, kernel, true, dy, transposed, nullptr, dx};
  k.depthwise_conv(forward, middle, rows);
  k.depthwise_conv(forward, 0, middle);
  k.depthwise_conv(backward, 0, rows);
  check_close(name + " y", y, expected.y, 4e-7 * (double)(taps + 4), 1e-6);
  check_close(name + " dx", dx, expected.dx, 4e-7 * (double)(taps + 4), 1e-6);
  const DepthwiseGradArgs grad{m.height, m.width, m.channels, kernel, x, dy, partial};
  const size_t cut = std::min(m.channels, random.upto(0, m.channels) / 16 * 16);
  for (size_t s = m.samples; s-- > 0;) {
    k.depthwise_weight_grad(grad, s, cut, m.channels);
    k.depthwise_weight_grad(grad, s, 0, cut);
  }
  dweight.fill(1);
  dbias.fill(-1);
  k.depthwise_weight_sum(grad, m.samples, dweight, dbias, 0, cut);
  k.depthwise_weight_sum(grad, m.samples, dweight, dbias, cut, m.channels);
  ref::Values weights = expected.dweight, biases = expected.dbias;
  for (double& v : weights) v += 1;
  for (double& v : biases) v -= 1;
  const double terms = (double)(m.samples * m.height * m.width);
  check_close(name + " dweight", dweight, weights, 1e-6 + 1e-7 * terms, 1e-6);
  check_close(name + " dbias", dbias, biases, 1e-6 + 1e-7 * terms, 1e-6);
}

}  // namespace

void test_maps(const KernelTable& k) {
  Random random(59);
  for (const Type from : kTypes)
    for (const Type to : kTypes) {
      transpose_case(k, random, 1, 1, from, to);
      transpose_case(k, random, 197, 192, from, to);
      for (int i = 0; i < 20; i++) transpose_case(k, random, random.upto(1, 90), random.upto(1, 90), from, to);
      for (size_t i = 0; i < 20; i++) {
        merge_case(k, random, {random.upto(1, 3), 2 * random.upto(1, 5), 2 * random.upto(1, 5), random.upto(1, 70)}, i % 2, from, to);
        for (const Type upstream : kTypes) layer_scale_case(k, random, random.upto(1, 100), random.upto(1, 100), from, upstream, to);
      }
      convolution_case(k, random, {1, 1, 1, 1}, 7, from, to);
      convolution_case(k, random, {2, 7, 7, 64}, 7, from, to);
      convolution_case(k, random, {1, 28, 28, 96}, 7, from, to);
      for (size_t width = 1; width <= 18; width++) convolution_case(k, random, {random.upto(1, 2), random.upto(1, 12), width, random.upto(1, 40)}, 7, from, to);
      for (size_t i = 0; i < 10; i++)
        convolution_case(k, random, {random.upto(1, 3), random.upto(1, 12), random.upto(1, 12), random.upto(1, 150)}, 2 * random.upto(0, 5) + 1, from, to);
    }
}

}  // namespace dropstream::test
