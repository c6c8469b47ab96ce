// Kernels over whole samples: patches, tokens, positions, kept samples of a drop path, dropout of a value.
#include <cstring>

#include "vm/program.h"

namespace dropstream {

namespace {
constexpr size_t kGrain = 8192;
}

void Program::run_layout(const Op& op) {
  const Dims& d = op.dims;
  const size_t n = samples(op), width = d.width, sequence = d.tokens * width;
  const float *x = input(op, 0), *second = input(op, 1);
  float *y = output(op, 0), *sum = output(op, 1);
  const auto samplewise = [&](size_t floats, auto body) {
    spread(n, kGrain / floats + 1, [&](size_t begin, size_t end, unsigned) {
      for (size_t s = begin; s < end; s++) body(s);
    });
  };
  const auto copy = [](float* to, const float* from, size_t floats) { memcpy(to, from, floats * sizeof(float)); };
  switch (op.kernel) {
    case Kernel::patches: {
      const PatchesArgs args{d.channels, d.height, d.width, d.patch, x, y};
      return samplewise(d.channels * d.height * d.width, [&](size_t s) { kernels_.patches(args, s); });
    }
    case Kernel::prepend_token:
      return samplewise(sequence, [&](size_t s) {
        float* to = y + s * (sequence + width);
        copy(to, second, width);
        copy(to + width, x + s * sequence, sequence);
      });
    case Kernel::prepend_token_grad:
      samplewise(sequence, [&](size_t s) { copy(y + s * sequence, x + s * (sequence + width) + width, sequence); });
      return kernels_.sum_samples(x, n, sequence + width, sum, 0, width);
    case Kernel::add_positions: return samplewise(sequence, [&](size_t s) { kernels_.add(x + s * sequence, second, y + s * sequence, sequence); });
    case Kernel::add_positions_grad:
      return spread(sequence, 1024, [&](size_t begin, size_t end, unsigned) { kernels_.sum_samples(x, n, sequence, y, begin, end); }, 16);
    case Kernel::take_token: return samplewise(width, [&](size_t s) { copy(y + s * width, x + s * sequence + d.token * width, width); });
    case Kernel::take_token_grad:
      return samplewise(sequence, [&](size_t s) {
        memset(y + s * sequence, 0, sequence * sizeof(float));
        copy(y + s * sequence + d.token * width, x + s * width, width);
      });
    case Kernel::mean_tokens: return samplewise(sequence, [&](size_t s) { kernels_.mean_tokens(x + s * sequence, d.tokens, width, y + s * width); });
    case Kernel::mean_tokens_grad:
      return samplewise(sequence, [&](size_t s) {
        float* first = y + s * sequence;
        kernels_.scale(x + s * width, 1.0f / (float)d.tokens, first, width);
        for (size_t token = 1; token < d.tokens; token++) copy(first + token * width, first, width);
      });
    default: return;
  }
}

// keep gathers the kept samples of a path; add_kept scatters them back onto the residual stream.
void Program::run_kept(const Op& op) {
  const size_t width = op.dims.width, path = op.dims.path, kept = chunk_.counts[path + 1];
  const uint32_t* index = kept_.as<uint32_t>() + (path + 1) * spec_.chunk_samples;
  const float factor = op.dims.scaled ? chunk_.path_scales[path] : 1.0f;
  const float *x = input(op, 0), *branch = input(op, 1);
  float* y = output(op, 0);
  const size_t grain = kGrain / width + 1;
  if (op.kernel == Kernel::keep)
    return spread(kept, grain, [&](size_t begin, size_t end, unsigned) {
      for (size_t i = begin; i < end; i++) kernels_.scale(x + index[i] * width, factor, y + i * width, width);
    });
  if (y != x)
    spread(chunk_.counts[0] * width, kGrain, [&](size_t begin, size_t end, unsigned) { memcpy(y + begin, x + begin, (end - begin) * sizeof(float)); });
  spread(kept, grain, [&](size_t begin, size_t end, unsigned) {
    for (size_t i = begin; i < end; i++) kernels_.add_scaled(y + index[i] * width, branch + i * width, factor, y + index[i] * width, width);
  });
}

void Program::run_dropout(const Op& op) {
  const DropoutArgs args{op.dims.rows * op.dims.width, input(op, 0), output(op, 0), site(op), sample_map(op)};
  if (args.site.on)
    return spread(samples(op), 2048 / args.elements + 1, [&](size_t begin, size_t end, unsigned) {
      for (size_t s = begin; s < end; s++) kernels_.dropout(args, s, 0, args.elements);
    });
  if (args.x != args.y)
    spread(samples(op) * args.elements, kGrain, [&](size_t begin, size_t end, unsigned) { memcpy(args.y + begin, args.x + begin, (end - begin) * sizeof(float)); });
}

}  // namespace dropstream
