// Kernels on token maps: transposes, merging, layer scale, depthwise convolution.
#include <algorithm>

#include "vm/program.h"

namespace dropstream {

namespace {
constexpr size_t kRowsPerPartial = 32;  // of layer scale's gradient; fixed: the order of the sums depends on it, never on threads
constexpr size_t kChannelsPerJob = 64;  // of a convolution's weight gradient: every channel is a sum of its own
constexpr size_t kGrain = 8192;         // elements worth a job

size_t cut(size_t n, size_t piece) { return (n + piece - 1) / piece; }
}  // namespace

size_t Program::map_shared_floats(const Op& op) const {
  const Dims& d = op.dims;
  const size_t taps = d.kernel * d.kernel;
  switch (op.kernel) {
    case Kernel::layer_scale_grad: return cut(spec_.chunk_samples * d.rows, kRowsPerPartial) * d.width;
    case Kernel::depthwise_conv:
    case Kernel::depthwise_conv_input_grad: return taps * d.channels;
    case Kernel::depthwise_conv_weight_grad: return spec_.chunk_samples * (taps + 1) * d.channels;
    default: return 0;
  }
}

void Program::run_maps(const Op& op) {
  const Dims& d = op.dims;
  const size_t n = samples(op);
  const In x = in(op, 0);
  const Out y = out(op, 0);
  switch (op.kernel) {
    case Kernel::transpose_tokens: {
      // Pieces of 16 tokens: a whole number of vectors on every instruction set, so no line of y is written by two.
      const size_t pieces = cut(d.tokens, 16);
      return spread(n * pieces, kGrain / (16 * d.width) + 1, [&](size_t begin, size_t end, unsigned) {
        for (size_t at = begin; at < end; at++) {
          const size_t sample = at / pieces * d.tokens * d.width, first = at % pieces * 16;
          kernels_.transpose(x + sample, d.tokens, d.width, y + sample, first, std::min(d.tokens, first + 16));
        }
      });
    }
    case Kernel::merge_patches:
    case Kernel::merge_patches_grad: {
      const MergeArgs args{d.height, d.width, d.channels, d.order, x, y};
      const auto kernel = op.kernel == Kernel::merge_patches ? kernels_.merge_patches : kernels_.merge_patches_grad;
      return spread(n * (d.height / 2), kGrain / (2 * d.width * d.channels) + 1, [&](size_t begin, size_t end, unsigned) { kernel(args, begin, end); });
    }
    case Kernel::layer_scale:
      return spread(n * d.rows, kGrain / d.width + 1, [&](size_t begin, size_t end, unsigned) {
        kernels_.layer_scale(x + begin * d.width, input(op, 1), y + begin * d.width, end - begin, d.width);
      });
    default: return;
  }
}

void Program::run_layer_scale_grad(const Op& op) {
  const Dims& d = op.dims;
  const size_t rows = samples(op) * d.rows, blocks = cut(rows, kRowsPerPartial);
  if (rows == 0) return;
  const LayerScaleGradArgs args{rows, d.width, kRowsPerPartial, in(op, 0), input(op, 1), in(op, 2), out(op, 0), shared_.floats()};
  spread(blocks, kGrain / (kRowsPerPartial * d.width) + 1, [&](size_t begin, size_t end, unsigned) {
    for (size_t block = begin; block < end; block++) kernels_.layer_scale_grad(args, block);
  });
  kernels_.sum_samples(args.partial, blocks, d.width, output(op, 1), 0, d.width);
}

void Program::run_depthwise(const Op& op) {
  const Dims& d = op.dims;
  if (samples(op) == 0) return;
  float* weight = shared_.floats();
  kernels_.transpose(input(op, 1), d.channels, d.kernel * d.kernel, weight, 0, d.channels);
  const DepthwiseArgs args{d.height, d.width, d.channels, d.kernel, op.kernel == Kernel::depthwise_conv_input_grad, in(op, 0), weight, input(op, 2), out(op, 0)};
  spread(samples(op) * d.height, kGrain / (4 * d.width * d.channels) + 1, [&](size_t begin, size_t end, unsigned) { kernels_.depthwise_conv(args, begin, end); });
}

void Program::run_depthwise_weight_grad(const Op& op) {
  const Dims& d = op.dims;
  const size_t n = samples(op), blocks = cut(d.channels, kChannelsPerJob);
  if (n == 0) return;
  const DepthwiseGradArgs args{d.height, d.width, d.channels, d.kernel, in(op, 0), in(op, 1), shared_.floats()};
  const auto channels = [&](size_t block, auto body) { body(block * kChannelsPerJob, std::min(d.channels, (block + 1) * kChannelsPerJob)); };
  spread(n * blocks, 1, [&](size_t begin, size_t end, unsigned) {
    for (size_t job = begin; job < end; job++) channels(job % blocks, [&](size_t first, size_t last) { kernels_.depthwise_weight_grad(args, job / blocks, first, last); });
  });
  spread(blocks, 1, [&](size_t begin, size_t end, unsigned) {
    for (size_t block = begin; block < end; block++)
      channels(block, [&](size_t first, size_t last) { kernels_.depthwise_weight_sum(args, n, output(op, 0), output(op, 1), first, last); });
  });
}

}  // namespace dropstream
