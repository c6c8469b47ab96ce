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
  const In x = in(op, 0);
  const Out y = out(op, 0);
  const float* parameter = input(op, 1);
  float* sum = output(op, 1);
  const auto samplewise = [&](size_t floats, auto body) {
    spread(n, kGrain / floats + 1, [&](size_t begin, size_t end, unsigned) {
      for (size_t s = begin; s < end; s++) body(s);
    });
  };
  switch (op.kernel) {
    case Kernel::patches: {
      const PatchesArgs args{d.channels, d.height, d.width, d.patch, input(op, 0), y};
      return samplewise(d.channels * d.height * d.width, [&](size_t s) { kernels_.patches(args, s); });
    }
    case Kernel::prepend_token:
      return samplewise(sequence, [&](size_t s) {
        const Out to = y + s * (sequence + width);
        kernels_.copy(parameter, to, width);
        kernels_.copy(x + s * sequence, to + width, sequence);
      });
    case Kernel::prepend_token_grad:
      samplewise(sequence, [&](size_t s) { kernels_.copy(x + (s * (sequence + width) + width), y + s * sequence, sequence); });
      return kernels_.sum_samples(x.floats(), n, sequence + width, sum, 0, width);
    case Kernel::add_positions: return samplewise(sequence, [&](size_t s) { kernels_.add(x + s * sequence, parameter, y + s * sequence, sequence); });
    case Kernel::add_positions_grad:
      return spread(sequence, 1024, [&](size_t begin, size_t end, unsigned) { kernels_.sum_samples(x.floats(), n, sequence, y.floats(), begin, end); }, 16);
    case Kernel::take_token: return samplewise(width, [&](size_t s) { kernels_.copy(x + (s * sequence + d.token * width), y + s * width, width); });
    case Kernel::take_token_grad:
      return samplewise(sequence, [&](size_t s) {
        const Out to = y + s * sequence;
        memset(to.at, 0, sequence * size_of(to.type));
        kernels_.copy(x + s * width, to + d.token * width, width);
      });
    case Kernel::mean_tokens: return samplewise(sequence, [&](size_t s) { kernels_.mean_tokens(x + s * sequence, d.tokens, width, y + s * width); });
    case Kernel::mean_tokens_grad:
      return samplewise(sequence, [&](size_t s) {
        const Out first = y + s * sequence;
        kernels_.scale(x + s * width, 1.0f / (float)d.tokens, first, width);
        for (size_t token = 1; token < d.tokens; token++) kernels_.copy(first, first + token * width, width);
      });
    default: return;
  }
}

// keep gathers the kept samples of a path; add_kept scatters them back onto the residual stream.
void Program::run_kept(const Op& op) {
  const size_t width = op.dims.width, path = op.dims.path, kept = chunk_.counts[path + 1];
  const uint32_t* index = kept_.as<uint32_t>() + (path + 1) * spec_.chunk_samples;
  const float factor = op.dims.scaled ? chunk_.path_scales[path] : 1.0f;
  const In x = in(op, 0), branch = in(op, 1);
  const Out y = out(op, 0);
  const size_t grain = kGrain / width + 1;
  if (op.kernel == Kernel::keep)
    return spread(kept, grain, [&](size_t begin, size_t end, unsigned) {
      for (size_t i = begin; i < end; i++) kernels_.scale(x + index[i] * width, factor, y + i * width, width);
    });
  if (y.at != x.at) spread(chunk_.counts[0] * width, kGrain, [&](size_t begin, size_t end, unsigned) { kernels_.copy(x + begin, y + begin, end - begin); }, 32);
  spread(kept, grain, [&](size_t begin, size_t end, unsigned) {
    for (size_t i = begin; i < end; i++) kernels_.add_scaled(y + index[i] * width, branch + i * width, factor, y + index[i] * width, width);
  });
}

void Program::run_dropout(const Op& op) {
  const DropoutArgs args{op.dims.rows * op.dims.width, in(op, 0), out(op, 0), site(op), sample_map(op)};
  if (args.site.on)
    return spread(samples(op), 2048 / args.elements + 1, [&](size_t begin, size_t end, unsigned) {
      for (size_t s = begin; s < end; s++) kernels_.dropout(args, s, 0, args.elements);
    });
  if (args.x.at != args.y.at)
    spread(samples(op) * args.elements, kGrain, [&](size_t begin, size_t end, unsigned) { kernels_.copy(args.x + begin, args.y + begin, end - begin); }, 32);
}

}  // namespace dropstream
