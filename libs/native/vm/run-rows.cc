// Kernels that work row by row or element by element, and the layer-norm gradient with its sums over rows.
#include "vm/program.h"

namespace dropstream {

namespace {
constexpr size_t kRowsPerPartial = 32;  // fixed: the order of the sums depends on it, never on threads
constexpr size_t kGrain = 8192;         // elements worth a job
}  // namespace

void Program::run_rows(const Op& op) {
  const Dims& d = op.dims;
  const In a = in(op, 0), b = in(op, 1);
  const Out y = out(op, 0);
  const size_t elements = samples(op) * d.rows * d.width;
  switch (op.kernel) {
    case Kernel::gelu: return spread(elements, kGrain, [&](size_t i, size_t end, unsigned) { kernels_.gelu(a + i, y + i, end - i); }, 16);
    case Kernel::gelu_grad: return spread(elements, kGrain, [&](size_t i, size_t end, unsigned) { kernels_.gelu_grad(a + i, b + i, y + i, end - i); }, 16);
    case Kernel::multiply: return spread(elements, kGrain, [&](size_t i, size_t end, unsigned) { kernels_.multiply(a + i, b + i, y + i, end - i); }, 16);
    case Kernel::add: return spread(elements, kGrain, [&](size_t i, size_t end, unsigned) { kernels_.add(a + i, b + i, y + i, end - i); }, 16);
    case Kernel::layer_norm: {
      const LayerNormArgs args{d.width, d.eps, a, input(op, 1), input(op, 2), y, output(op, 1), output(op, 2)};
      return spread(samples(op) * d.rows, kGrain / d.width + 1, [&](size_t begin, size_t end, unsigned) { kernels_.layer_norm(args, begin, end); });
    }
    case Kernel::softmax_cross_entropy: {
      const CrossEntropyArgs args{d.classes, input(op, 0), input(op, 1), output(op, 0), out(op, 1), chunk_.loss_scale};
      return spread(samples(op), kGrain / d.classes + 1, [&](size_t begin, size_t end, unsigned) { kernels_.cross_entropy(args, begin, end); });
    }
    default: return;
  }
}

void Program::run_layer_norm_grad(const Op& op) {
  const Dims& d = op.dims;
  const size_t rows = samples(op) * d.rows, blocks = (rows + kRowsPerPartial - 1) / kRowsPerPartial;
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
