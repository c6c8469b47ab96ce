// One head of one window of one sample: where its tokens lie in a map that was rolled by −shift and cut into windows in row order, and
// which of them only the roll brought together.
#pragma once
#include "kernels/attention/head.h"
#include "kernels/simd/functions.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

constexpr float kApart = -100;  // added to the score between two regions: exp() makes (next to) nothing of it

struct Window {
  size_t sample, window, head, top, left;
  // `job` counts heads fastest, then windows, then samples: the order of lse and of the dropout site.
  DS_INLINE Window(const WindowArgs& p, size_t job) {
    const size_t across = p.width / p.window, windows = p.height / p.window * across;
    head = job % p.heads;
    window = job / p.heads % windows;
    sample = job / p.heads / windows;
    top = window / across * p.window;
    left = window % across * p.window;
  }
  // Whether the roll joined regions in it.
  DS_INLINE bool joined(const WindowArgs& p) const { return p.shift > 0 && (top + p.window == p.height || left + p.window == p.width); }
  // Calls body(place in the window, token of the sample) for all places in row order.
  template <class Body>
  DS_INLINE void places(const WindowArgs& p, Body body) const {
    size_t place = 0;
    for (size_t y = 0; y < p.window; y++) {
      const size_t rolled = top + y + p.shift, row = (rolled < p.height ? rolled : rolled - p.height) * p.width;
      size_t x = left + p.shift;
      for (size_t i = 0; i < p.window; i++, x++) body(place++, row + (x < p.width ? x : x - p.width));
    }
  }
};

// Which of the 3×3 regions every place is in, as whole numbers in floats.
DS_INLINE void region_row(const WindowArgs& p, const Window& w, float* regions) {
  const auto band = [&](size_t at, size_t side) { return at < side - p.window ? 0 : at < side - p.shift ? 1 : 2; };
  for (size_t y = 0; y < p.window; y++)
    for (size_t x = 0; x < p.window; x++) regions[y * p.window + x] = (float)(3 * band(w.top + y, p.height) + band(w.left + x, p.width));
}

// Floats of a gathered token: whole vectors, so that up to kPanelWidth channels of gathered tokens are in packed order as they are.
DS_INLINE size_t place_stride(size_t head_dim) { return round_up(head_dim, kLanes); }

// to[place][place_stride] = factor · from[token][head_dim], padded with zeros; from: rows of `row` floats.
DS_INLINE void gather(const WindowArgs& p, const Window& w, const float* from, size_t row, float factor, float* to) {
  const Vec f = splat(factor);
  w.places(p, [&](size_t place, size_t token) {
    const float* in = from + token * row;
    float* out = to + place * place_stride(p.head_dim);
    for_vectors(p.head_dim, [&](size_t i, auto io) { store(out + i, io.get(in + i) * f); });
  });
}
// to[token][head_dim] = factor(place) · from[place][place_stride].
template <class Factor>
DS_INLINE void scatter(const WindowArgs& p, const Window& w, const float* from, Factor factor, float* to, size_t row) {
  w.places(p, [&](size_t place, size_t token) {
    const float* in = from + place * place_stride(p.head_dim);
    float* out = to + token * row;
    const Vec f = splat(factor(place));
    for_vectors(p.head_dim, [&](size_t i, auto io) { io.put(out + i, io.get(in + i) * f); });
  });
}

// Gathered tokens as the right side of a product.
DS_INLINE const float* as_panels(const float* places, size_t count, size_t head_dim, float* packed) {
  if (head_dim <= kPanelWidth) return places;
  pack_rows({count, head_dim, places, place_stride(head_dim), packed}, 0, panel_count(head_dim), 0, count);
  return packed;
}

// Queries worked on at once: blocks of equal height, at most 96.
DS_INLINE size_t query_block(size_t places) {
  const size_t blocks = (places + kQueryBlockGrad - 1) / kQueryBlockGrad;
  return (places + blocks - 1) / blocks;
}

// The dropout factors of rows [begin, end) of the window's probabilities, row after row.
DS_INLINE void window_factors(const WindowArgs& p, const Window& w, size_t begin, size_t end, float* factors) {
  const size_t places = p.window * p.window;
  const uint32_t index = p.samples.index[w.sample];
  dropout_factors(p.site, p.samples.first_counter + index, p.samples.first_row + index, ((w.window * p.heads + w.head) * places + begin) * places, (end - begin) * places, factors);
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
