// Kernels that work row by row or element by element, and the layer-norm gradient with its sums over rows.
#include "vm/program.h"

namespace dropstream {

void Program::run_elementwise(const Op& op, void (*kernel)(In x, Out y, size_t n)) {
  const In x = in(op, 0);
  const Out y = out(op, 0);
  spread(
      samples(op) * op.dims.rows * op.dims.width, kGrain, [&](size_t i, size_t end, unsigned) { kernel(x + i, y + i, end - i); }, 16);
}

void Program::run_elementwise(const Op& op, void (*kernel)(In a, In b, Out y, size_t n)) {
  const In a = in(op, 0), b = in(op, 1);
  const Out y = out(op, 0);
  spread(
      samples(op) * op.dims.rows * op.dims.width, kGrain, [&](size_t i, size_t end, unsigned) { kernel(a + i, b + i, y + i, end - i); }, 16);
}

void Program::run_gelu(const Op& op) { run_elementwise(op, kernels_.gelu); }
void Program::run_gelu_grad(const Op& op) { run_elementwise(op, kernels_.gelu_grad); }
void Program::run_multiply(const Op& op) { run_elementwise(op, kernels_.multiply); }
void Program::run_add(const Op& op) { run_elementwise(op, kernels_.add); }

void Program::run_layer_norm(const Op& op) {
  const Dims& d = op.dims;
  const LayerNormArgs args{d.width, d.eps, in(op, 0), input(op, 1), input(op, 2), out(op, 0), output(op, 1), output(op, 2)};
  spread(samples(op) * d.rows, kGrain / d.width + 1, [&](size_t begin, size_t end, unsigned) { kernels_.layer_norm(args, begin, end); });
}

void Program::run_softmax_cross_entropy(const Op& op) {
  const size_t classes = op.dims.classes;
  const CrossEntropyArgs args{classes, input(op, 0), input(op, 1), output(op, 0), out(op, 1), chunk_.loss_scale};
  spread(samples(op), kGrain / classes + 1, [&](size_t begin, size_t end, unsigned) { kernels_.cross_entropy(args, begin, end); });
}

void Program::run_layer_norm_grad(const Op& op) {
  const Dims& d = op.dims;
  const size_t rows = samples(op) * d.rows, blocks = ceil_div(rows, kRowsPerPartial);
  if (rows == 0) return;
  const LayerNormGradArgs args{rows, d.width, kRowsPerPartial, in(op, 0), input(op, 1), input(op, 2), input(op, 3), in(op, 4), out(op, 0), shared_.floats()};
  const size_t together = kGrain / (kRowsPerPartial * d.width) + 1;
  spread(blocks, together, [&](size_t begin, size_t end, unsigned) {
    for (size_t block = begin; block < end; block++) kernels_.layer_norm_grad(args, block);
  });
  kernels_.sum_samples(args.partial, blocks, 2 * d.width, output(op, 1), 0, d.width);
  kernels_.sum_samples(args.partial + d.width, blocks, 2 * d.width, output(op, 2), 0, d.width);
}

}  // namespace dropstream
