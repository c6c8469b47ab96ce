// Dropout from the counter: Philox 4x32-10, one counter per lane, so 4·lanes elements a round trip; a compare makes factors 0 or 1/(1 − p).
// Nothing is stored: the backward pass draws the same words again. About 1.6 cycles an element with AVX-512.
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

template <size_t... I>
struct Lanes {};
template <size_t N, size_t... I>
struct LanesTo : LanesTo<N - 1, N - 1, I...> {};
template <size_t... I>
struct LanesTo<0, I...> {
  typedef Lanes<I...> type;
};
template <size_t... I>
DS_INLINE UVec interleave_low(UVec a, UVec b, Lanes<I...>) {
  return __builtin_shufflevector(a, b, (int)(I / 2 + (I % 2) * kLanes)...);
}
template <size_t... I>
DS_INLINE UVec interleave_high(UVec a, UVec b, Lanes<I...>) {
  return __builtin_shufflevector(a, b, (int)(I / 2 + kLanes / 2 + (I % 2) * kLanes)...);
}
typedef LanesTo<kLanes>::type AllLanes;

// The words of counters (first + lane, sample, site, step), in element order: word[j] holds elements 4·first + j·lanes ….
static DS_INLINE void words(const DropoutSite& s, uint32_t first, uint32_t sample, UVec word[4]) {
  UVec c0, c1 = splat_bits(sample), c2 = splat_bits(s.site), c3 = splat_bits(s.step);
  for (size_t i = 0; i < kLanes; i++) c0[i] = first + (uint32_t)i;
  uint32_t k0 = s.key0, k1 = s.key1;
  for (int round = 0; round < 10; round++, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
    UVec high0, low0, high1, low1;
    wide_multiply(c0, splat_bits(0xd2511f53u), high0, low0);
    wide_multiply(c2, splat_bits(0xcd9e8d57u), high1, low1);
    c0 = high1 ^ c1 ^ splat_bits(k0);
    c1 = low1;
    c2 = high0 ^ c3 ^ splat_bits(k1);
    c3 = low0;
  }
  const AllLanes all{};
  const UVec even_low = interleave_low(c0, c2, all), even_high = interleave_high(c0, c2, all);
  const UVec odd_low = interleave_low(c1, c3, all), odd_high = interleave_high(c1, c3, all);
  word[0] = interleave_low(even_low, odd_low, all);
  word[1] = interleave_high(even_low, odd_low, all);
  word[2] = interleave_low(even_high, odd_high, all);
  word[3] = interleave_high(even_high, odd_high, all);
}

// factors[0, count) of elements [begin, begin + count).
void dropout_factors(const DropoutSite& s, uint32_t sample, size_t mask_row, size_t begin, size_t count, float* factors) {
  if (s.mask) {
    const uint8_t* mask = s.mask + mask_row * s.elements + begin;
    for (size_t i = 0; i < count; i++) factors[i] = mask[i] ? s.scale : 0.0f;
    return;
  }
  const UVec limit = splat_bits(s.limit);
  const Vec kept = splat(s.scale);
  UVec word[4];
  for (size_t e = begin / 4 * 4; e < begin + count; e += 4 * kLanes) {
    words(s, (uint32_t)(e / 4), sample, word);
    if (e >= begin && e + 4 * kLanes <= begin + count) {
      for (size_t v = 0; v < 4; v++) store(factors + (e - begin) + v * kLanes, where_at_most(word[v], limit, kept));
    } else {
      float part[4 * kLanes];
      for (size_t v = 0; v < 4; v++) store(part + v * kLanes, where_at_most(word[v], limit, kept));
      const size_t from = e < begin ? begin - e : 0, to = smaller(4 * kLanes, begin + count - e);
      memcpy(factors + (e + from - begin), part + from, (to - from) * sizeof(float));
    }
  }
}

// y = x · factor on elements [begin, end) of one sample (its own gradient, too).
void dropout(const DropoutArgs& p, size_t sample, size_t begin, size_t end) {
  constexpr size_t kPiece = 64 * kLanes;
  float factors[kPiece];
  const uint32_t index = p.samples.index[sample];
  for (size_t e = begin; e < end; e += kPiece) {
    const size_t count = smaller(kPiece, end - e);
    dropout_factors(p.site, p.samples.first_counter + index, p.samples.first_row + index, e, count, factors);
    const float* x = p.x + sample * p.elements + e;
    float* y = p.y + sample * p.elements + e;
    for_vectors(count, [&](size_t i, auto io) { io.put(y + i, io.get(x + i) * io.get(factors + i)); });
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
