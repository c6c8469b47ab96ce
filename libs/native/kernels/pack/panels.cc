// Packing of the right side of a product into panels [panel][step of k][width rounded up to vectors], padded with zeros: the tile then
// reads whole, contiguous vectors only. A word is one float, or a pair of bf16 that are neighbours along k; fp32 is rounded on the way.
// Weights are packed once a step, activations once per use.
#include "kernels/layout/interleave.h"
#include "kernels/pack/pairs.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

size_t packed_floats(size_t k, size_t n, Type type) { return (type == Type::bf16 ? steps_of<Pair>(k) : k) * round_up(n, kLanes); }

template <class P>
struct Pointed;
template <class T>
struct Pointed<T*> {
  typedef T type;
};

// Calls body(source, words) with the types of p.source and of p.packed's words.
template <class Body>
static DS_INLINE void with_words(const PackArgs& p, Body body) {
  if (p.packed.type == Type::fp32)
    body(p.source.floats(), p.packed.floats());
  else
    with_types(p.source, [&](auto* source) { body(source, static_cast<Pair*>(p.packed.at)); });
}

void pack_rows(const PackArgs& p, size_t panel_begin, size_t panel_end, size_t row_begin, size_t row_end) {
  with_words(p, [&](auto* source, auto* words) {
    typedef typename Pointed<decltype(words)>::type Word;
    for (size_t panel = panel_begin; panel < panel_end; panel++) {
      const size_t j = panel * kPanelWidth, width = panel_stride(p.n, panel);
      pack_block(row_end - row_begin, smaller(kPanelWidth, p.n - j), source + row_begin * p.stride + j, p.stride,
                 words + j * steps_of<Word>(p.k) + steps_of<Word>(row_begin) * width, width);
    }
  });
}

// One vector of words from `count` elements at p, with zeros where there are fewer than it takes.
static DS_INLINE Vec words_of(const float* p, size_t count, const float*) { return count < kLanes ? load_part(p, count) : load(p); }
static DS_INLINE Vec words_of(const bf16* p, size_t count, const Pair*) {
  if (count >= 2 * kLanes) return load((const float*)p);
  bf16 halves[2 * kLanes] = {};
  for (size_t i = 0; i < count; i++) halves[i] = p[i];
  return load((const float*)halves);
}
static DS_INLINE Vec words_of(const float* p, size_t count, const Pair*) {
  bf16 halves[2 * kLanes] = {};
  for_vectors(smaller(count, 2 * kLanes), [&](size_t i, auto io) { io.put(halves + i, io.get(p + i)); });
  return load((const float*)halves);
}

// b[k][j] = source[j][k]: squares of one vector of words a side, turned in registers; columns beyond the last are rows of zeros there.
void pack_columns(const PackArgs& p, size_t panel_begin, size_t panel_end) {
  with_words(p, [&](auto* source, auto* words) {
    typedef typename Pointed<decltype(words)>::type Word;
    constexpr size_t span = kSpan<Word>;
    const size_t steps = steps_of<Word>(p.k);
    for (size_t panel = panel_begin; panel < panel_end; panel++) {
      const size_t j = panel * kPanelWidth, columns = smaller(kPanelWidth, p.n - j), width = panel_stride(p.n, panel);
      float* out = (float*)(words + j * steps);
      for (size_t r = 0; r < steps; r += kLanes) {
        const size_t depth = smaller(kLanes, steps - r);
        for (size_t column = 0; column < columns; column += kLanes) {
          const size_t filled = smaller(kLanes, columns - column);
          const auto* in = source + (j + column) * p.stride + r * span;
          Vec square[kLanes];
          if (filled == kLanes && p.k - r * span >= kLanes * span) {
#pragma GCC unroll 16
            for (size_t i = 0; i < kLanes; i++) square[i] = words_of(in + i * p.stride, kLanes * span, words);
            transpose_lanes(square);
#pragma GCC unroll 16
            for (size_t i = 0; i < kLanes; i++) store(out + (r + i) * width + column, square[i]);
          } else {
            for (size_t i = 0; i < kLanes; i++) square[i] = i < filled ? words_of(in + i * p.stride, p.k - r * span, words) : zero();
            transpose_lanes(square);
            for (size_t i = 0; i < depth; i++) store(out + (r + i) * width + column, square[i]);
          }
        }
      }
    }
  });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
