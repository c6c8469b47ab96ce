// Kernels on token maps: transposes, merging, layer scale, depthwise convolution.
#include <algorithm>

#include "vm/program.h"

namespace dropstream {

namespace {
constexpr size_t kChannelsPerJob = 64;  // for a convolution's weight gradient, where every channel has its own sum
// Tokens that one call of a transpose moves: the kernel's squares on every instruction set, and whole cache lines of y, which no two threads share.
constexpr size_t kTokensPerPiece = 32;
}  // namespace

size_t Program::map_shared_floats(const Op& op) const {
  const Dims& d = op.dims;
  const size_t taps = d.kernel * d.kernel;
  if (op.kernel == Kernel::layer_scale_grad) return ceil_div(spec_.chunk_samples * d.rows, kRowsPerPartial) * d.width;
  if (op.kernel == Kernel::depthwise_conv || op.kernel == Kernel::depthwise_conv_input_grad) return taps * d.channels;
  if (op.kernel == Kernel::depthwise_conv_weight_grad) return spec_.chunk_samples * (taps + 1) * d.channels;
  return 0;
}

void Program::run_transpose_tokens(const Op& op) {
  const Dims& d = op.dims;
  const In x = in(op, 0);
  const Out y = out(op, 0);
  const size_t pieces = ceil_div(d.tokens, kTokensPerPiece);
  spread(samples(op) * pieces, kGrain / (kTokensPerPiece * d.width) + 1, [&](size_t begin, size_t end, unsigned) {
    for (size_t at = begin; at < end; at++) {
      const size_t sample = at / pieces * d.tokens * d.width, first = at % pieces * kTokensPerPiece;
      kernels_.transpose(x + sample, d.tokens, d.width, y + sample, first, std::min(d.tokens, first + kTokensPerPiece));
    }
  });
}

void Program::run_merge(const Op& op, void (*kernel)(const MergeArgs&, size_t row_begin, size_t row_end)) {
  const Dims& d = op.dims;
  const MergeArgs args{d.height, d.width, d.channels, d.order, in(op, 0), out(op, 0)};
  spread(samples(op) * (d.height / 2), kGrain / (2 * d.width * d.channels) + 1, [&](size_t begin, size_t end, unsigned) { kernel(args, begin, end); });
}

void Program::run_merge_patches(const Op& op) { run_merge(op, kernels_.merge_patches); }
void Program::run_merge_patches_grad(const Op& op) { run_merge(op, kernels_.merge_patches_grad); }

void Program::run_layer_scale(const Op& op) {
  const size_t width = op.dims.width;
  const In x = in(op, 0);
  const Out y = out(op, 0);
  const float* gamma = input(op, 1);
  spread(samples(op) * op.dims.rows, kGrain / width + 1,
         [&](size_t begin, size_t end, unsigned) { kernels_.layer_scale(x + begin * width, gamma, y + begin * width, end - begin, width); });
}

void Program::run_layer_scale_grad(const Op& op) {
  const Dims& d = op.dims;
  const size_t rows = samples(op) * d.rows, blocks = ceil_div(rows, kRowsPerPartial);
  if (rows == 0) return;
  const LayerScaleGradArgs args{rows, d.width, kRowsPerPartial, in(op, 0), input(op, 1), in(op, 2), out(op, 0), shared_.floats()};
  spread(blocks, kGrain / (kRowsPerPartial * d.width) + 1, [&](size_t begin, size_t end, unsigned) {
    for (size_t block = begin; block < end; block++) kernels_.layer_scale_grad(args, block);
  });
  kernels_.sum_samples(args.partial, blocks, d.width, output(op, 1), 0, d.width);
}

void Program::run_depthwise(const Op& op, bool flipped) {
  const Dims& d = op.dims;
  if (samples(op) == 0) return;
  float* weight = shared_.floats();
  kernels_.transpose(input(op, 1), d.channels, d.kernel * d.kernel, weight, 0, d.channels);
  const DepthwiseArgs args{d.height, d.width, d.channels, d.kernel, flipped, in(op, 0), weight, input(op, 2), out(op, 0)};
  spread(samples(op) * d.height, kGrain / (4 * d.width * d.channels) + 1,
         [&](size_t begin, size_t end, unsigned) { kernels_.depthwise_conv(args, begin, end); });
}

void Program::run_depthwise_conv(const Op& op) { run_depthwise(op, false); }
void Program::run_depthwise_conv_input_grad(const Op& op) { run_depthwise(op, true); }

void Program::run_depthwise_conv_weight_grad(const Op& op) {
  const Dims& d = op.dims;
  const size_t n = samples(op), blocks = ceil_div(d.channels, kChannelsPerJob);
  if (n == 0) return;
  const DepthwiseGradArgs args{d.height, d.width, d.channels, d.kernel, in(op, 0), in(op, 1), shared_.floats()};
  const auto channels = [&](size_t block, auto body) { body(block * kChannelsPerJob, std::min(d.channels, (block + 1) * kChannelsPerJob)); };
  spread(n * blocks, 1, [&](size_t begin, size_t end, unsigned) {
    for (size_t job = begin; job < end; job++)
      channels(job % blocks, [&](size_t first, size_t last) { kernels_.depthwise_weight_grad(args, job / blocks, first, last); });
  });
  spread(blocks, 1, [&](size_t begin, size_t end, unsigned) {
    for (size_t block = begin; block < end; block++)
      channels(block, [&](size_t first, size_t last) { kernels_.depthwise_weight_sum(args, n, output(op, 0), output(op, 1), first, last); });
  });
}

}  // namespace dropstream
