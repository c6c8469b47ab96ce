// Attention: one job per head of a sample, each on its thread's scratch.
#include "vm/program.h"

namespace dropstream {

void Program::run_attention(const Op& op) {
  const Dims& d = op.dims;
  AttentionArgs args{};
  args.tokens = d.tokens;
  args.heads = d.heads;
  args.head_dim = d.head_dim;
  args.scale = d.scale;
  args.qkv = input(op, 0);
  args.site = site(op);
  args.samples = sample_map(op);
  const bool backward = op.kernel == Kernel::attention_grad;
  args.out = backward ? input(op, 1) : output(op, 0);
  args.lse = backward ? input(op, 2) : output(op, 1);
  args.dout = backward ? input(op, 3) : nullptr;
  args.dqkv = backward ? output(op, 0) : nullptr;
  spread(samples(op) * d.heads, 1, [&](size_t begin, size_t end, unsigned thread) {
    (backward ? kernels_.attention_grad : kernels_.attention)(args, begin, end, scratch(thread));
  });
}

}  // namespace dropstream
