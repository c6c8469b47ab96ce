// One head of one sample in qkv[s][token][3][heads][head_dim], and the scratch memory of a thread.
#pragma once
#include "kernels/dropout/draw.h"
#include "kernels/micro/tile.h"
#include "simd/functions.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// The number of rows of the score matrix that are processed together. At 197 tokens, blocks of 48 × 208 floats and the packed operands fit
// in the L2 cache. In the backward pass the probabilities of a whole block and their gradients are the left operands of the products that
// sum over queries: fp32 values overwrite the scores, bf16 values take half the memory, so that most sequences are a single block.
constexpr size_t kQueryBlock = 48;
template <class T>
constexpr size_t kScoreRows = sizeof(T) == sizeof(float) ? 96 : 48;
template <class T>
constexpr size_t kGradRows = sizeof(T) == sizeof(float) ? 96 : 240;

template <class T>
struct Head {
  size_t sample, head, row;  // row: elements from one token to the next in qkv
  const T *q, *k, *v;
  DS_INLINE Head(const AttentionArgs& p, const T* qkv, size_t job) : sample(job / p.heads), head(job % p.heads), row(3 * p.heads * p.head_dim) {
    q = qkv + sample * p.tokens * row + head * p.head_dim;
    k = q + p.heads * p.head_dim;
    v = k + p.heads * p.head_dim;
  }
};

DS_INLINE size_t score_stride(size_t tokens) { return round_up(tokens, 16); }

// Hands out parts of a thread's scratch memory. Without any memory it only counts how much is needed.
class Carve {
 public:
  DS_INLINE explicit Carve(float* scratch) : scratch_(scratch) {}
  template <class T = float>
  DS_INLINE T* take(size_t count) {
    float* at = scratch_ ? scratch_ + floats_ : nullptr;
    floats_ += round_up(ceil_div(count * sizeof(T), sizeof(float)), 16);
    return (T*)at;
  }
  DS_INLINE size_t floats() const { return floats_; }

 private:
  float* scratch_;
  size_t floats_ = 0;
};

template <class T>
using Word = typename WordOf<T>::type;
template <class T>
constexpr Type kTypeOf = sizeof(T) == sizeof(float) ? Type::fp32 : Type::bf16;
// The number of words of a packed b[k][n].
template <class T>
DS_INLINE size_t packed_words(size_t k, size_t n) {
  return packed_floats(k, n, kTypeOf<T>);
}
// Packs b[k][n] from itself or from its transpose.
template <class T>
DS_INLINE void pack_right(size_t k, size_t n, const T* source, size_t stride, Word<T>* packed) {
  pack_rows({k, n, source, stride, Out(packed, kTypeOf<T>)}, 0, panel_count(n), 0, k);
}
template <class T>
DS_INLINE void pack_right_transposed(size_t k, size_t n, const T* source, size_t stride, Word<T>* packed) {
  pack_columns({k, n, source, stride, Out(packed, kTypeOf<T>)}, 0, panel_count(n));
}

// c[m, n] (+)= a[m, k] · b[k, n].
template <bool KMajor, class A, class W, class C>
DS_INLINE void head_product(size_t m, size_t k, size_t n, const A* a, size_t a_stride, const W* b, C* c, size_t c_stride, bool accumulate = false) {
  for (size_t j = 0; j < n; j += kPanelWidth)
    panel_product<KMajor>(m, k, a, a_stride, b + j * steps_of<W>(k), c + j, c_stride, min(kPanelWidth, n - j), accumulate, nullptr);
}

// Exponentials of scores times a scale. fp32 uses base e and is exact to the last place; bf16 uses base 2, which saves the conversion back.
template <class T>
constexpr float kBase = sizeof(T) == sizeof(float) ? 1.0f : 1.44269504f;
template <class T>
DS_INLINE Vec raise(Vec x) {
  if constexpr (sizeof(T) == sizeof(float))
    return exponential(x);
  else
    return power_of_two(x);
}

template <class T>
DS_INLINE float dot_product(const T* a, const T* b, size_t n) {
  Vec sum = zero();
  for_vectors(n, [&](size_t i, auto io) { sum = fma(io.get(a + i), io.get(b + i), sum); });
  return sum_lanes(sum);
}

// Says which probabilities of one head are kept. The draws of many rows are made together, because rows are contiguous in the counter
// (element = (head·tokens + query)·tokens + key), and most of a draw for one short row would be thrown away.
class KeptRows {
 public:
  template <class H>
  DS_INLINE KeptRows(const AttentionArgs& p, const H& h, size_t first, size_t rows, uint8_t* bits) : bits_(p.site.on ? bits : nullptr), tokens_(p.tokens) {
    if (!bits_) return;
    const uint32_t index = p.samples.index[h.sample];
    place_ = draw_bits(p.site, p.samples.first_counter + index, p.samples.first_row + index, (h.head * tokens_ + first) * tokens_, rows * tokens_, bits_);
  }
  DS_INLINE explicit operator bool() const { return bits_; }
  // The bits of keys [key, key + kLanes) of row `row`, counted from the first row drawn.
  DS_INLINE uint32_t of(size_t row, size_t key) const { return element_bits(bits_, place_ + row * tokens_ + key); }
  // The same of 32 keys.
  DS_INLINE uint32_t word(size_t row, size_t key) const { return element_word(bits_, place_ + row * tokens_ + key); }

 private:
  uint8_t* bits_;
  size_t tokens_, place_ = 0;
};

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
