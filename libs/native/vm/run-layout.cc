// Kernels over whole samples: patches, tokens, positions, kept samples of a drop path, dropout of a value.
#include <cstring>

#include "vm/program.h"

namespace dropstream {

template <class Body>
void Program::for_samples(const Op& op, size_t elements, Body body) {
  spread(samples(op), kGrain / elements + 1, [&](size_t begin, size_t end, unsigned) {
    for (size_t s = begin; s < end; s++) body(s);
  });
}

void Program::run_patches(const Op& op) {
  const Dims& d = op.dims;
  const PatchesArgs args{d.channels, d.height, d.width, d.patch, input(op, 0), out(op, 0)};
  for_samples(op, d.channels * d.height * d.width, [&](size_t s) { kernels_.patches(args, s); });
}

void Program::run_prepend_token(const Op& op) {
  const size_t width = op.dims.width, sequence = op.dims.tokens * width;
  const In x = in(op, 0);
  const Out y = out(op, 0);
  const float* token = input(op, 1);
  for_samples(op, sequence, [&](size_t s) {
    const Out to = y + s * (sequence + width);
    kernels_.copy(token, to, width);
    kernels_.copy(x + s * sequence, to + width, sequence);
  });
}

void Program::run_prepend_token_grad(const Op& op) {
  const size_t width = op.dims.width, sequence = op.dims.tokens * width;
  const In dy = in(op, 0);
  const Out y = out(op, 0);
  for_samples(op, sequence, [&](size_t s) { kernels_.copy(dy + (s * (sequence + width) + width), y + s * sequence, sequence); });
  kernels_.sum_samples(dy.floats(), samples(op), sequence + width, output(op, 1), 0, width);
}

void Program::run_add_positions(const Op& op) {
  const size_t sequence = op.dims.tokens * op.dims.width;
  const In x = in(op, 0);
  const Out y = out(op, 0);
  const float* positions = input(op, 1);
  for_samples(op, sequence, [&](size_t s) { kernels_.add(x + s * sequence, positions, y + s * sequence, sequence); });
}

void Program::run_add_positions_grad(const Op& op) {
  const size_t sequence = op.dims.tokens * op.dims.width;
  const float* dy = input(op, 0);
  float* positions = output(op, 0);
  spread(
      sequence, 1024, [&](size_t begin, size_t end, unsigned) { kernels_.sum_samples(dy, samples(op), sequence, positions, begin, end); }, 16);
}

void Program::run_take_token(const Op& op) {
  const size_t width = op.dims.width, sequence = op.dims.tokens * width;
  const In x = in(op, 0);
  const Out y = out(op, 0);
  for_samples(op, width, [&](size_t s) { kernels_.copy(x + (s * sequence + op.dims.token * width), y + s * width, width); });
}

void Program::run_take_token_grad(const Op& op) {
  const size_t width = op.dims.width, sequence = op.dims.tokens * width;
  const In dy = in(op, 0);
  const Out y = out(op, 0);
  for_samples(op, sequence, [&](size_t s) {
    const Out to = y + s * sequence;
    memset(to.at, 0, sequence * size_of(to.type));
    kernels_.copy(dy + s * width, to + op.dims.token * width, width);
  });
}

void Program::run_mean_tokens(const Op& op) {
  const size_t width = op.dims.width, sequence = op.dims.tokens * width;
  const In x = in(op, 0);
  const Out y = out(op, 0);
  for_samples(op, sequence, [&](size_t s) { kernels_.mean_tokens(x + s * sequence, op.dims.tokens, width, y + s * width); });
}

void Program::run_mean_tokens_grad(const Op& op) {
  const size_t tokens = op.dims.tokens, width = op.dims.width, sequence = tokens * width;
  const In dy = in(op, 0);
  const Out y = out(op, 0);
  for_samples(op, sequence, [&](size_t s) {
    const Out first = y + s * sequence;
    kernels_.scale(dy + s * width, 1.0f / (float)tokens, first, width);
    for (size_t token = 1; token < tokens; token++) kernels_.copy(first, first + token * width, width);
  });
}

void Program::run_cast(const Op& op) {
  const In x = in(op, 0);
  const Out y = out(op, 0);
  spread(
      samples(op) * op.dims.width, kGrain, [&](size_t begin, size_t end, unsigned) { kernels_.copy(x + begin, y + begin, end - begin); }, 32);
}

void Program::run_gather_kept(const Op& op) {
  const size_t width = op.dims.width;
  const uint32_t* kept = kept_samples(op);
  const float factor = path_factor(op);
  const In x = in(op, 0);
  const Out y = out(op, 0);
  spread(chunk_.counts[op.dims.path + 1], kGrain / width + 1, [&](size_t begin, size_t end, unsigned) {
    for (size_t i = begin; i < end; i++) kernels_.scale(x + kept[i] * width, factor, y + i * width, width);
  });
}

void Program::run_scatter_add_kept(const Op& op) {
  const size_t width = op.dims.width;
  const uint32_t* kept = kept_samples(op);
  const float factor = path_factor(op);
  const In x = in(op, 0), branch = in(op, 1);
  const Out y = out(op, 0);
  if (y.at != x.at)
    spread(
        chunk_.counts[0] * width, kGrain, [&](size_t begin, size_t end, unsigned) { kernels_.copy(x + begin, y + begin, end - begin); }, 32);
  spread(chunk_.counts[op.dims.path + 1], kGrain / width + 1, [&](size_t begin, size_t end, unsigned) {
    for (size_t i = begin; i < end; i++) kernels_.add_scaled(y + kept[i] * width, branch + i * width, factor, y + kept[i] * width, width);
  });
}

void Program::run_dropout(const Op& op) {
  const DropoutArgs args{op.dims.rows * op.dims.width, in(op, 0), out(op, 0), site(op), sample_map(op)};
  if (args.site.on)
    return spread(samples(op), 2048 / args.elements + 1, [&](size_t begin, size_t end, unsigned) {
      for (size_t s = begin; s < end; s++) kernels_.dropout(args, s, 0, args.elements);
    });
  if (args.x.at != args.y.at)
    spread(
        samples(op) * args.elements, kGrain, [&](size_t begin, size_t end, unsigned) { kernels_.copy(args.x + begin, args.y + begin, end - begin); }, 32);
}

}  // namespace dropstream
