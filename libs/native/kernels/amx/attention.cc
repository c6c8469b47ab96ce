// Attention for bf16 in tiles; fp32 goes to the vector kernels.
#include "kernels/amx/attention-backward.h"
#include "kernels/amx/attention-forward.h"

namespace dropstream {
namespace DROPSTREAM_BASE {
void attention(const AttentionArgs&, size_t job_begin, size_t job_end, float* scratch);
void attention_grad(const AttentionArgs&, size_t job_begin, size_t job_end, float* scratch);
size_t attention_scratch(size_t tokens, size_t head_dim, Type type);
size_t attention_grad_scratch(size_t tokens, size_t head_dim, Type type);
}  // namespace DROPSTREAM_BASE
namespace DROPSTREAM_ISA {

namespace {

struct InOrder {
  DS_INLINE size_t operator()(size_t token) const { return token; }
};

DS_INLINE TiledHead<InOrder> whole_head(const AttentionArgs& p, const Head<bf16>& h, size_t job) {
  const size_t width = p.heads * p.head_dim, at = h.sample * p.tokens * width + h.head * p.head_dim;
  TiledHead<InOrder> head{p.tokens, p.head_dim, {}, p.scale, p.site.scale, h.q, h.k, h.v, h.row, p.out.halves() + at, width, p.lse + job * p.tokens};
  if (p.dqkv) {
    head.dout = p.dout.halves() + at;
    head.dq = p.dqkv.halves() + (h.q - p.qkv.halves());
    head.dk = head.dq + width;
    head.dv = head.dk + width;
  }
  // The head after the last one of this call is asked for as well, because the same thread often goes on with it.
  const bool in_next_sample = h.head + 1 == p.heads;
  const ptrdiff_t across = (in_next_sample ? -(ptrdiff_t)h.head : 1) * (ptrdiff_t)p.head_dim, rows = in_next_sample ? (ptrdiff_t)p.tokens : 0;
  head.next = rows * (ptrdiff_t)h.row + across;
  head.next_out = rows * (ptrdiff_t)width + across;
  return head;
}

}  // namespace

void attention(const AttentionArgs& p, size_t job_begin, size_t job_end, float* scratch) {
  if (p.qkv.type == Type::fp32) return DROPSTREAM_BASE::attention(p, job_begin, job_end, scratch);
  Carve carve{at_line(scratch)};
  const ForwardTiles s(carve, p.tokens, p.head_dim);
  for (size_t job = job_begin; job < job_end; job++) {
    const Head<bf16> h(p, p.qkv.halves(), job);
    forward_head(
        whole_head(p, h, job), s, [&](size_t begin, size_t queries) { return KeptRows(p, h, begin, queries, s.bits); }, [](size_t) { return NoBias(); });
  }
}

void attention_grad(const AttentionArgs& p, size_t job_begin, size_t job_end, float* scratch) {
  if (p.qkv.type == Type::fp32) return DROPSTREAM_BASE::attention_grad(p, job_begin, job_end, scratch);
  Carve carve{at_line(scratch)};
  const BackwardTiles s(carve, p.tokens, p.head_dim);
  for (size_t job = job_begin; job < job_end; job++) {
    const Head<bf16> h(p, p.qkv.halves(), job);
    backward_head(
        whole_head(p, h, job), s, [&](size_t begin, size_t queries) { return KeptRows(p, h, begin, queries, s.bits); }, [](size_t) { return NoBias(); });
  }
}

size_t attention_scratch(size_t tokens, size_t head_dim, Type type) {
  if (type == Type::fp32) return DROPSTREAM_BASE::attention_scratch(tokens, head_dim, type);
  Carve carve{nullptr};
  ForwardTiles(carve, tokens, head_dim);
  return carve.floats() + kLineFloats;
}

size_t attention_grad_scratch(size_t tokens, size_t head_dim, Type type) {
  if (type == Type::fp32) return DROPSTREAM_BASE::attention_grad_scratch(tokens, head_dim, type);
  Carve carve{nullptr};
  BackwardTiles(carve, tokens, head_dim);
  return carve.floats() + kLineFloats;
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
