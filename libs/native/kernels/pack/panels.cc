// Packs the right operand of a product into panels [panel][step of k][width rounded up to vectors], padded with zeros, so that the tile
// only reads whole, contiguous vectors. A word is one float, or a pair of bf16 that are neighbours along k; fp32 is rounded to bf16 here.
// Weights are packed once per step, activations once per use.
#include "kernels/pack/transposed.h"

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
      pack_block(row_end - row_begin, min(kPanelWidth, p.n - j), source + row_begin * p.stride + j, p.stride,
                 words + j * steps_of<Word>(p.k) + steps_of<Word>(row_begin) * width, width);
    }
  });
}

size_t packed_left_floats(size_t k, size_t n, Type type) { return (type == Type::bf16 ? steps_of<Pair>(k) : k) * round_up(n, kRowBlock); }

// Packs row by row over all blocks: these are long reads, which the hardware prefetches. The last block's last vector is padded with zeros
// beyond n.
void pack_left(const PackArgs& p, size_t row_begin, size_t row_end) {
  with_words(p, [&](auto* source, auto* words) {
    typedef typename Pointed<decltype(words)>::type Word;
    for (size_t row = row_begin; row < row_end; row += kSpan<Word>)
      for (size_t j = 0; j < p.n; j += kRowBlock)
        pack_block(min(kSpan<Word>, row_end - row), min(kRowBlock, p.n - j), source + row * p.stride + j, p.stride,
                   words + j * steps_of<Word>(p.k) + steps_of<Word>(row) * kRowBlock, kRowBlock);
  });
}

// b[k][j] = source[j][k].
void pack_columns(const PackArgs& p, size_t panel_begin, size_t panel_end) {
  with_words(p, [&](auto* source, auto* words) {
    typedef typename Pointed<decltype(words)>::type Word;
    for (size_t panel = panel_begin; panel < panel_end; panel++) {
      const size_t j = panel * kPanelWidth;
      pack_transposed(
          p.k, min(kPanelWidth, p.n - j), [&](size_t column) { return source + (j + column) * p.stride; }, words + j * steps_of<Word>(p.k),
          panel_stride(p.n, panel));
    }
  });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
