// One head of one window of one sample: where its tokens are in a map that was rolled by −shift and cut into windows in row order, and
// which of them are neighbours only because of the roll.
#pragma once
#include "kernels/attention/head.h"
#include "kernels/pack/transposed.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

constexpr size_t kMaxQueries = 96;
constexpr size_t kMaxPlaces = 32 * 32;  // vm/kernel-shapes.cc allows no larger window
constexpr float kApart = -100;          // added to the score between two regions: exp() makes (next to) nothing of it

struct Window {
  size_t sample, window, head, top, left;
  // `job` counts heads fastest, then windows, then samples, which is also the order of lse and of the dropout site.
  DS_INLINE Window(const WindowArgs& p, size_t job) {
    const size_t windows_per_row = p.width / p.window, windows = p.height / p.window * windows_per_row;
    head = job % p.heads;
    window = job / p.heads % windows;
    sample = job / p.heads / windows;
    top = window / windows_per_row * p.window;
    left = window % windows_per_row * p.window;
  }
  // Whether the roll joined several regions in this window.
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

// The number of the region (of 3 × 3) that every place is in, stored as floats.
DS_INLINE void region_row(const WindowArgs& p, const Window& w, float* regions) {
  const auto band = [&](size_t at, size_t side) { return at < side - p.window ? 0 : at < side - p.shift ? 1 : 2; };
  for (size_t y = 0; y < p.window; y++)
    for (size_t x = 0; x < p.window; x++) regions[y * p.window + x] = (float)(3 * band(w.top + y, p.height) + band(w.left + x, p.width));
}

// The number of elements of a gathered token, in whole vectors, so that up to kPanelWidth fp32 channels of gathered tokens are already in
// packed order.
template <class T>
DS_INLINE size_t place_stride(size_t head_dim) {
  return round_up(head_dim, sizeof(Vec) / sizeof(T));
}

// The tokens of a window, place by place.
struct Places {
  uint32_t token[kMaxPlaces];
  size_t count = 0, head_dim;
  DS_INLINE Places(const WindowArgs& p, const Window& w) : head_dim(p.head_dim) {
    w.places(p, [&](size_t place, size_t at) {
      token[place] = (uint32_t)at;
      count = place + 1;
    });
  }
  // to[place][place_stride] = factor · from[token][head_dim], padded with zeros. The rows of `from` have `row` elements.
  DS_INLINE void gather(const float* from, size_t row, float factor, float* to) const {
    const Vec f = splat(factor);
    for (size_t i = 0; i < count; i++)
      for_vectors(head_dim, [&](size_t j, auto io) { store(to + i * place_stride<float>(head_dim) + j, io.get(from + token[i] * row + j) * f); });
  }
  DS_INLINE void gather(const bf16* from, size_t row, float, bf16* to) const {
    constexpr size_t kElements = 2 * kLanes;
    for (size_t i = 0; i < count; i++)
      for (size_t j = 0; j < head_dim; j += kElements)
        store((float*)(to + i * place_stride<bf16>(head_dim) + j), words_of(from + token[i] * row + j, head_dim - j, (const Pair*)nullptr));
  }
  // Packed as the right operand of a product that sums over places, or over channels.
  template <class T>
  DS_INLINE void pack(const T* from, size_t row, Word<T>* packed) const {
    for (size_t channel = 0; channel < head_dim; channel += kPanelWidth) {
      const size_t columns = min(kPanelWidth, head_dim - channel), width = round_up(columns, kLanes);
      Word<T>* out = packed + channel * steps_of<Word<T>>(count);
      for (size_t i = 0; i < count; i += kSpan<Word<T>>, out += width)
        pack_step(from + token[i] * row + channel, i + 1 < count ? from + token[i + 1] * row + channel : nullptr, columns, out);
    }
  }
  template <class T>
  DS_INLINE void pack_keys_transposed(const T* from, size_t row, Word<T>* packed) const {
    for (size_t first = 0; first < count; first += kPanelWidth) {
      const size_t columns = min(kPanelWidth, count - first);
      pack_transposed(
          head_dim, columns, [&](size_t j) { return from + token[first + j] * row; }, packed + first * steps_of<Word<T>>(head_dim), round_up(columns, kLanes));
    }
  }
  // to[token][head_dim] = factor(place) · from[place][place_stride].
  template <class T, class Factor>
  DS_INLINE void scatter(const float* from, Factor factor, T* to, size_t row) const {
    for (size_t i = 0; i < count; i++) {
      const Vec f = splat(factor(i));
      for_vectors(head_dim, [&](size_t j, auto io) { io.put(to + token[i] * row + j, io.get(from + i * place_stride<float>(head_dim) + j) * f); });
    }
  }
};

// Gathered tokens, packed as the right operand of a product.
template <class T>
DS_INLINE const Word<T>* as_panels(const T* places, size_t count, size_t head_dim, Word<T>* packed) {
  if constexpr (sizeof(T) == sizeof(float))
    if (head_dim <= kPanelWidth) return places;
  pack_right(count, head_dim, places, place_stride<T>(head_dim), packed);
  return packed;
}

// Where the scale of the scores is applied: to the queries if they are fp32, and to the sums if scaling queries would round bf16 a second
// time.
template <class T>
DS_INLINE float query_factor(const WindowArgs& p) {
  return sizeof(T) == sizeof(float) ? p.scale : 1;
}

// A vector of one query's scores with bias, and with the mask if the roll joined regions (otherwise null).
template <class T>
struct Biased {
  const float *bias, *regions;
  Vec scale, own;
  DS_INLINE Biased(const WindowArgs& p, const float* bias_row, const float* region_row, size_t query)
      : bias(bias_row), regions(region_row), scale(splat(p.scale)), own(region_row ? splat(region_row[query]) : zero()) {}
  DS_INLINE Vec operator()(const float* scores, size_t j) const {
    const Vec s = sizeof(T) == sizeof(float) ? load(scores + j) + load(bias + j) : fma(load(scores + j), scale, load(bias + j));
    return regions ? s + (load(regions + j) == own ? zero() : splat(kApart)) : s;
  }
};

// exp(score − shift).
template <class T>
DS_INLINE Vec raise_from(Vec score, Vec shift) {
  if constexpr (sizeof(T) == sizeof(float))
    return exponential(score - shift);
  else
    return power_of_two((score - shift) * splat(kBase<T>));
}

// The number of queries that are processed together, in blocks of equal height.
DS_INLINE size_t query_block(size_t places) {
  const size_t blocks = ceil_div(places, kMaxQueries);
  return ceil_div(places, blocks);
}

// Says which probabilities of the window are kept in rows [first, first + rows).
class KeptPlaces {
 public:
  DS_INLINE KeptPlaces(const WindowArgs& p, const Window& w, size_t first, size_t rows, uint8_t* bits)
      : bits_(p.site.on ? bits : nullptr), places_(p.window * p.window) {
    if (!bits_) return;
    const uint32_t index = p.samples.index[w.sample];
    place_ = draw_bits(p.site, p.samples.first_counter + index, p.samples.first_row + index, ((w.window * p.heads + w.head) * places_ + first) * places_,
                       rows * places_, bits_);
  }
  DS_INLINE explicit operator bool() const { return bits_; }
  DS_INLINE uint32_t of(size_t row, size_t key) const { return element_bits(bits_, place_ + row * places_ + key); }
  DS_INLINE uint32_t word(size_t row, size_t key) const { return element_word(bits_, place_ + row * places_ + key); }

 private:
  uint8_t* bits_;
  size_t places_, place_ = 0;
};
// Rows of whole vectors may read bits beyond the last key of the last row.
DS_INLINE size_t kept_bytes(size_t rows, size_t places) { return drawn_bytes(rows * places + 64); }

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
