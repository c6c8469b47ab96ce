// One head of one sample inside qkv[s][token][3][heads][head_dim], and the scratch that a thread works in.
#pragma once
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// Rows of the score matrix worked on at once: at 197 tokens the backward pass's two blocks of 96 × 208 floats and the packed operands
// share the L2 cache.
constexpr size_t kQueryBlock = 48, kQueryBlockGrad = 96;

struct Head {
  size_t sample, head, row;  // row: floats from one token to the next in qkv
  const float *q, *k, *v;
  DS_INLINE Head(const AttentionArgs& p, size_t job) : sample(job / p.heads), head(job % p.heads), row(3 * p.heads * p.head_dim) {
    q = p.qkv + sample * p.tokens * row + head * p.head_dim;
    k = q + p.heads * p.head_dim;
    v = k + p.heads * p.head_dim;
  }
};

DS_INLINE size_t score_stride(size_t tokens) { return round_up(tokens, 16); }

struct Carve {
  float* next;
  DS_INLINE float* take(size_t floats) {
    float* at = next;
    next += round_up(floats, 16);
    return at;
  }
};

DS_INLINE void head_product(size_t m, size_t k, size_t n, const float* a, size_t a_stride, bool a_k_major, const float* b, float* c, size_t c_stride,
                            bool accumulate) {
  product({m, k, n, a, a_stride, a_k_major, b, c, c_stride, accumulate, nullptr, Epilogue::none, nullptr}, 0, m, 0, panel_count(n));
}

// The dropout factors of one head's rows of probabilities, drawn about a thousand at a time: rows are neighbours in the counter
// (element = (head·tokens + query)·tokens + key), and a draw of one short row would mostly be thrown away.
constexpr size_t kFactorsAtOnce = 1024;
DS_INLINE size_t factor_floats(size_t tokens) { return round_up(tokens > kFactorsAtOnce ? tokens : kFactorsAtOnce, 16); }

class RowFactors {
 public:
  DS_INLINE RowFactors(const AttentionArgs& p, const Head& h, size_t first, size_t end, float* buffer)
      : p_(p), h_(h), begin_(first), ready_(first), end_(end), buffer_(buffer) {}
  // Of query `row`; asked for in ascending order. Null where dropout is off.
  DS_INLINE const float* of(size_t row) {
    if (!p_.site.on) return nullptr;
    if (row >= ready_) {
      const size_t fit = kFactorsAtOnce / p_.tokens, rows = smaller(fit ? fit : 1, end_ - row);
      const uint32_t index = p_.samples.index[h_.sample];
      dropout_factors(p_.site, p_.samples.first_counter + index, p_.samples.first_row + index, (h_.head * p_.tokens + row) * p_.tokens, rows * p_.tokens, buffer_);
      begin_ = row;
      ready_ = row + rows;
    }
    return buffer_ + (row - begin_) * p_.tokens;
  }

 private:
  const AttentionArgs& p_;
  const Head& h_;
  size_t begin_, ready_, end_;
  float* buffer_;
};

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
