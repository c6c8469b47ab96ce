// Converts bytes to the values that a model reads: table, mix, bfloat16.
#include "vector/declare.h"

namespace dropstream::pixels {
namespace DROPSTREAM_ISA {

// AVX-512: each of the four bytes of a float is looked up in its own table of 256 bytes, 64 values at a time. Gathers would take three
// times as long.
void look_up_floats(const uint8_t* values, size_t count, const float* table, float* out) {
  size_t i = 0;
#if DROPSTREAM_ISA_avx512
  if (count >= 64) {
    uint8_t bytes[4][256];
    const auto* flat = reinterpret_cast<const uint8_t*>(table);
    for (int v = 0; v < 256; v++) {
      for (int k = 0; k < 4; k++) bytes[k][v] = flat[4 * v + k];
    }
    __m512i part[4][4];
    for (int k = 0; k < 4; k++) {
      for (int q = 0; q < 4; q++) part[k][q] = _mm512_loadu_si512(bytes[k] + 64 * q);
    }
    // Groups of four values are distributed over the 128-bit lanes, so that the in-lane interleaves below end in order.
    const __m512i dealt = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
    for (; i + 64 <= count; i += 64) {
      const __m512i at = _mm512_permutexvar_epi32(dealt, _mm512_loadu_si512(values + i));
      const __mmask64 upper = _mm512_movepi8_mask(at);
      __m512i b[4];
      for (int k = 0; k < 4; k++) {
        b[k] = _mm512_mask_blend_epi8(upper, _mm512_permutex2var_epi8(part[k][0], at, part[k][1]), _mm512_permutex2var_epi8(part[k][2], at, part[k][3]));
      }
      const __m512i low0 = _mm512_unpacklo_epi8(b[0], b[1]), low1 = _mm512_unpackhi_epi8(b[0], b[1]);
      const __m512i high0 = _mm512_unpacklo_epi8(b[2], b[3]), high1 = _mm512_unpackhi_epi8(b[2], b[3]);
      _mm512_storeu_si512(out + i, _mm512_unpacklo_epi16(low0, high0));
      _mm512_storeu_si512(out + i + 16, _mm512_unpackhi_epi16(low0, high0));
      _mm512_storeu_si512(out + i + 32, _mm512_unpacklo_epi16(low1, high1));
      _mm512_storeu_si512(out + i + 48, _mm512_unpackhi_epi16(low1, high1));
    }
  }
#endif
  for (; i < count; i++) out[i] = table[values[i]];
}

void mix_floats(float* own, const float* other, size_t count, float own_share, float other_share) {
  size_t i = 0;
  for (; i + kPixels <= count; i += kPixels) store(own + i, load<Float16>(own + i) * own_share + load<Float16>(other + i) * other_share);
  for (; i < count; i++) own[i] = own[i] * own_share + other[i] * other_share;
}

void round_to_bfloat16(const float* values, size_t count, uint16_t* out) {
  const auto rounded = [](uint32_t bits) {
    if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>((bits >> 16) | 0x40);  // NaN stays NaN
    return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
  };
  size_t i = 0;
#if DROPSTREAM_ISA_avx512
  for (; i + 16 <= count; i += 16) {
    const __m512i bits = _mm512_loadu_si512(values + i);
    const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
    const __m512i near = _mm512_srli_epi32(_mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff))), 16);
    const __mmask16 nan = _mm512_cmpgt_epi32_mask(_mm512_and_si512(bits, _mm512_set1_epi32(0x7fffffff)), _mm512_set1_epi32(0x7f800000));
    const __m512i kept = _mm512_or_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(0x40));
    _mm256_storeu_si256((__m256i*)(out + i), _mm512_cvtepi32_epi16(_mm512_mask_blend_epi32(nan, near, kept)));
  }
#endif
  for (; i < count; i++) {
    uint32_t bits;
    memcpy(&bits, values + i, 4);
    out[i] = rounded(bits);
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream::pixels
