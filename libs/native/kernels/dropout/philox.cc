// Dropout from the counter: Philox 4x32-10, one counter per lane, so 4·lanes elements a round trip; a compare makes factors 0 or 1/(1 − p).
// Nothing is stored: the backward pass draws the same words again. Rows of an attention
// matrix lie next to each other in the counter, so its kernels draw several rows in one call. 0.35 ns an element
// with AVX-512 on Zen 5.
#include "kernels/declare.h"
#include "kernels/layout/interleave.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// Groups of 4·lanes elements drawn side by side: ten dependent rounds leave the multipliers idle otherwise.
#if DROPSTREAM_ISA_avx512
constexpr size_t kGroups = 2;
#else
constexpr size_t kGroups = 1;
#endif
constexpr size_t kGroup = 4 * kLanes;

// The words of counters (first + lane, sample, site, step), in element order: word[4·g + j] holds elements 4·first + g·kGroup + j·lanes ….
template <size_t G>
static DS_INLINE void words(const DropoutSite& s, uint32_t first, uint32_t sample, UVec word[4 * G]) {
  UVec c0[G], c1[G], c2[G], c3[G];
  for (size_t g = 0; g < G; g++) {
    for (size_t i = 0; i < kLanes; i++) c0[g][i] = first + (uint32_t)(g * kLanes + i);
    c1[g] = splat_bits(sample);
    c2[g] = splat_bits(s.site);
    c3[g] = splat_bits(s.step);
  }
  uint32_t k0 = s.key0, k1 = s.key1;
  for (int round = 0; round < 10; round++, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
#pragma GCC unroll 2
    for (size_t g = 0; g < G; g++) {
      UVec high0, low0, high1, low1;
      wide_multiply(c0[g], splat_bits(0xd2511f53u), high0, low0);
      wide_multiply(c2[g], splat_bits(0xcd9e8d57u), high1, low1);
      c0[g] = high1 ^ c1[g] ^ splat_bits(k0);
      c1[g] = low1;
      c2[g] = high0 ^ c3[g] ^ splat_bits(k1);
      c3[g] = low0;
    }
  }
  const AllLanes all{};
  for (size_t g = 0; g < G; g++, word += 4) {
    const UVec even_low = interleave_low(c0[g], c2[g], all), even_high = interleave_high(c0[g], c2[g], all);
    const UVec odd_low = interleave_low(c1[g], c3[g], all), odd_high = interleave_high(c1[g], c3[g], all);
    word[0] = interleave_low(even_low, odd_low, all);
    word[1] = interleave_high(even_low, odd_low, all);
    word[2] = interleave_low(even_high, odd_high, all);
    word[3] = interleave_high(even_high, odd_high, all);
  }
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
  UVec word[4 * kGroups];
  const size_t end = begin + count;
  size_t e = begin;
  if (begin % 4 == 0)
    for (; e + kGroups * kGroup <= end; e += kGroups * kGroup) {
      words<kGroups>(s, (uint32_t)(e / 4), sample, word);
      for (size_t v = 0; v < 4 * kGroups; v++) store(factors + (e - begin) + v * kLanes, where_at_most(word[v], limit, kept));
    }
  for (e = e / 4 * 4; e < end; e += kGroups * kGroup) {
    float part[kGroups * kGroup];
    words<kGroups>(s, (uint32_t)(e / 4), sample, word);
    for (size_t v = 0; v < 4 * kGroups; v++) store(part + v * kLanes, where_at_most(word[v], limit, kept));
    const size_t from = e < begin ? begin - e : 0, to = smaller(kGroups * kGroup, end - e);
    memcpy(factors + (e + from - begin), part + from, (to - from) * sizeof(float));
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
    with_types(p.x + (sample * p.elements + e), p.y + (sample * p.elements + e), [&](auto* x, auto* y) {
      for_vectors(count, [&](size_t i, auto io) { io.put(y + i, io.get(x + i) * io.get(factors + i)); });
    });
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
