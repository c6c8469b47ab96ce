// The global gradient norm (float64, with blocks added in order), and one pass of clip, optimizer and EMA over all parameters.
#include <algorithm>
#include <cmath>

#include "vm/program.h"

namespace dropstream {

namespace {

// base^n by squaring, in a fixed order and without a C library.
double power(double base, uint64_t n) {
  double result = 1;
  for (; n; n >>= 1, base *= base)
    if (n & 1) result *= base;
  return result;
}

}  // namespace

double Program::block_squares(size_t i) const {
  const Block& block = blocks_[i];
  return kernels_.sum_squares(gradient_ + parameter_offset_[block.parameter] + block.begin, block.end - block.begin);
}

double Program::norm_of_blocks() const {
  double total = 0;
  for (size_t i = 0; i < blocks_.size(); i++) total += norms_.as<double>()[i];
  return std::sqrt(total);
}

double Program::gradient_norm() {
  const Profile::Span span(profile_, Profile::Part::update, 1, 0);
  // Jobs of at most 4 MiB, so that cancelling never waits long for one.
  const Pieces pieces(blocks_.size(), 1, std::max<size_t>(4 * pool_.threads(), blocks_.size() / 64));
  pool_.run(pieces.count, [&](size_t job, unsigned) {
    for (size_t i = pieces.begin(job); i < pieces.begin(job + 1); i++) norms_.as<double>()[i] = block_squares(i);
  });
  pool_.throw_if_cancelled();
  return norm_of_blocks();
}

double Program::optimize(const Optimizer& o, CancellablePool::Call& call) {
  // Only clipping needs the norm beforehand. Without clipping, a block is read once for the norm and the update.
  const bool clips = o.clip > 0;
  const double norm = clips ? gradient_norm() : 0;
  call.complete();
  const Profile::Span span(profile_, Profile::Part::update, 2, 0);
  const double factor = clips ? o.clip / (norm + 1e-6) : 1;
  UpdateArgs base{};
  base.kind = o.kind;
  base.clip_factor = (float)(factor >= 1 ? 1 : factor);  // NaN is kept, so that a broken gradient is noticed
  base.beta1 = (float)o.beta1;
  base.one_minus_beta1 = (float)(1 - o.beta1);
  base.beta2 = (float)o.beta2;
  base.one_minus_beta2 = (float)(1 - o.beta2);
  base.second_scale = (float)std::sqrt(1 - power(o.beta2, o.step));
  base.eps = (float)o.eps;
  base.momentum = (float)o.momentum;
  base.first_step = o.step == 1;
  base.ema_decay = (float)o.ema_decay;
  base.one_minus_ema_decay = (float)(1 - o.ema_decay);
  const double correction = 1 - power(o.beta1, o.step);
  const bool adamw = o.kind == OptimizerKind::adamw;
  spread(blocks_.size(), 1, [&](size_t begin, size_t end, unsigned) {
    for (size_t i = begin; i < end; i++) {
      const Block& block = blocks_[i];
      const size_t at = parameter_offset_[block.parameter];
      const double rate = o.learning_rate[block.parameter], decay = o.weight_decay[block.parameter];
      UpdateArgs args = base;
      args.weight = weights_.floats() + at;
      args.gradient = gradient_ + at;
      args.first = first_.floats() + at;
      args.second = second_.floats() + at;
      args.ema = o.ema_decay >= 0 ? ema_.floats() + at : nullptr;
      args.decay = (float)(adamw ? 1 - rate * decay : decay);
      args.step_size = (float)(adamw ? rate / correction : rate);
      if (!clips) norms_.as<double>()[i] = block_squares(i);
      kernels_.update(args, block.begin, block.end);
    }
  });
  version_++;
  return norm_of_blocks();
}

}  // namespace dropstream
