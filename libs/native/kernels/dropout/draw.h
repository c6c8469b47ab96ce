// Philox 4x32-10, reduced to one bit per element: kept or dropped. No other part of a random number is needed, and the bits of a head of
// 197 × 197 (4.9 KB) stay in the L1 cache, which factors would not.
//
// Each word of a counter occupies a 64-bit lane. The multiplication reads the lower half of a lane and leaves one new word in each half, so
// a round takes two products, two shifts and two xors, and the upper halves need not be cleared. An element costs 0.17 ns with AVX-512 on
// one Zen 5 core, nearly all of it for the multiplications.
#pragma once
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// The number of elements in one group: a counter gives four elements, and a vector holds kLanes / 2 counters. Several groups are computed
// side by side to hide the latency of the multiplications.
constexpr size_t kGroup = 2 * kLanes;
#if DS_REGISTERS == 32
constexpr size_t kGroups = 4;
#else
constexpr size_t kGroups = 2;
#endif

template <size_t... I>
DS_INLINE UVec interleave_pairs(UVec a, UVec b, size_t from, Indices<I...>) {
  return from ? DS_SHUFFLE(a, b, kLanes / 2 + 2 * (I / 4) + I % 2 + I / 2 % 2 * kLanes) : DS_SHUFFLE(a, b, 2 * (I / 4) + I % 2 + I / 2 % 2 * kLanes);
}

// Computes the words of counters (first + lane, sample, site, step) in element order: word[2·g] and word[2·g + 1] belong to group g.
template <size_t G>
DS_INLINE void draw_words(const DropoutSite& s, uint32_t first, uint32_t sample, UVec word[2 * G]) {
  WideVec c0[G], c1[G], c2[G], c3[G];
  // Only the first word differs between counters, so half of the first two rounds is the same for all of them and is computed once.
  uint32_t k0 = s.key0, k1 = s.key1;
  const uint64_t from_site = (uint64_t)0xcd9e8d57u * s.site;
  const uint32_t step_key = s.step ^ k1, word0 = (uint32_t)(from_site >> 32) ^ sample ^ k0;
  k0 += 0x9e3779b9u;
  k1 += 0xbb67ae85u;
  const uint64_t from_word0 = (uint64_t)0xd2511f53u * word0;
  const uint32_t site_key = (uint32_t)from_site ^ k0, word0_key = (uint32_t)(from_word0 >> 32) ^ k1;
  k0 += 0x9e3779b9u;
  k1 += 0xbb67ae85u;
  WideVec lane;
  for (size_t i = 0; i < kLanes / 2; i++) lane[i] = i;  // a constant, because counters written lane by lane would go through memory
#pragma GCC unroll 4
  for (size_t g = 0; g < G; g++) {
    const WideVec counter = lane + (first + (uint32_t)(g * kLanes / 2));
    const WideVec a = multiply_low(counter, WideVec{} + 0xd2511f53u), b = multiply_low((a >> 32) ^ (WideVec{} + step_key), WideVec{} + 0xcd9e8d57u);
    c0[g] = (b >> 32) ^ (WideVec{} + site_key);
    c1[g] = b;
    c2[g] = a ^ (WideVec{} + word0_key);
    c3[g] = WideVec{} + (uint32_t)from_word0;
  }
  for (int round = 2; round < 10; round++, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
    const WideVec key0 = WideVec{} + k0, key1 = WideVec{} + k1;
#pragma GCC unroll 4
    for (size_t g = 0; g < G; g++) {
      const WideVec a = multiply_low(c0[g], WideVec{} + 0xd2511f53u), b = multiply_low(c2[g], WideVec{} + 0xcd9e8d57u);
      c0[g] = exclusive_or(b >> 32, c1[g], key0);
      c1[g] = b;
      c2[g] = exclusive_or(a >> 32, c3[g], key1);
      c3[g] = a;
    }
  }
  const WideVec low = WideVec{} + 0xffffffffu;
#pragma GCC unroll 4
  for (size_t g = 0; g < G; g++, word += 2) {
    const UVec first_two = (UVec)((c0[g] & low) | c1[g] << 32), last_two = (UVec)((c2[g] & low) | c3[g] << 32);
    word[0] = interleave_pairs(first_two, last_two, 0, AllLanes{});
    word[1] = interleave_pairs(first_two, last_two, 1, AllLanes{});
  }
}

template <size_t G>
DS_INLINE void draw_groups(const DropoutSite& s, uint32_t first, uint32_t sample, uint8_t* bits) {
  UVec word[2 * G];
  const UVec limit = splat_bits(s.limit);
  draw_words<G>(s, first, sample, word);
#pragma GCC unroll 4
  for (size_t g = 0; g < G; g++) {
    const uint32_t both = bits_at_most(word[2 * g], limit) | bits_at_most(word[2 * g + 1], limit) << kLanes;
    memcpy(bits + g * kGroup / 8, &both, kGroup / 8);
  }
}

// The number of bytes that draw_bits may write, and element_bits may read, for `count` elements.
DS_INLINE constexpr size_t drawn_bytes(size_t count) { return (count + 63) / 32 * 4 + kGroup / 8 + 4; }

// Draws the bits of elements [begin, begin + count) of one sample, least significant bit first. The bits start at a multiple of 32
// elements; the result is the position of `begin` among them.
DS_INLINE size_t draw_bits(const DropoutSite& s, uint32_t sample, size_t mask_row, size_t begin, size_t count, uint8_t* bits) {
  const size_t from = begin / 32 * 32, end = begin + count;
  if (s.mask) {
    const uint8_t* mask = s.mask + mask_row * s.elements;
    for (size_t e = from; e < end; e += 8, bits++) {
      unsigned byte = 0;
      for (size_t i = 0; i < 8; i++)
        if (e + i >= begin && e + i < end && mask[e + i]) byte |= 1u << i;
      *bits = (uint8_t)byte;
    }
    return begin - from;
  }
  size_t e = from;
  for (; e + kGroups * kGroup <= end; e += kGroups * kGroup, bits += kGroups * kGroup / 8) draw_groups<kGroups>(s, (uint32_t)(e / 4), sample, bits);
  for (; e < end; e += kGroup, bits += kGroup / 8) draw_groups<1>(s, (uint32_t)(e / 4), sample, bits);
  return begin - from;
}

// The bits of kLanes elements from position `place` on. Bits after the last one drawn are arbitrary.
DS_INLINE uint32_t element_bits(const uint8_t* bits, size_t place) {
  uint32_t word;
  memcpy(&word, bits + place / 8, sizeof word);
  return word >> place % 8;
}
// The bits of 32 elements from position `place` on. It reads 8 bytes.
DS_INLINE uint32_t element_word(const uint8_t* bits, size_t place) {
  uint64_t word;
  memcpy(&word, bits + place / 8, sizeof word);
  return (uint32_t)(word >> place % 8);
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
