// Attention: one job per head of a sample, with the scratch memory of its thread.
#include "vm/program.h"

namespace dropstream {

void Program::run_attention(const Op& op, bool backward) {
  const Dims& d = op.dims;
  AttentionArgs args{};
  args.tokens = d.tokens;
  args.heads = d.heads;
  args.head_dim = d.head_dim;
  args.scale = d.scale;
  args.qkv = in(op, 0);
  args.site = site(op);
  args.samples = sample_map(op);
  args.out = backward ? Out(input(op, 1), args.qkv.type) : out(op, 0);
  args.lse = backward ? input(op, 2) : output(op, 1);
  args.dout = backward ? in(op, 3) : In();
  args.dqkv = backward ? out(op, 0) : Out();
  spread(samples(op) * d.heads, 1,
         [&](size_t begin, size_t end, unsigned thread) { (backward ? kernels_.attention_grad : kernels_.attention)(args, begin, end, scratch(thread)); });
}

void Program::run_attention(const Op& op) { run_attention(op, false); }
void Program::run_attention_grad(const Op& op) { run_attention(op, true); }

}  // namespace dropstream
