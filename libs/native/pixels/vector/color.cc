// The passes over pixels of the colour operations: one table lookup, one blend in float32, or one sum each.
#include "vector/declare.h"

namespace dropstream::pixels {
namespace DROPSTREAM_ISA {
namespace {

// ITU-R 601 luma as Pillow rounds it.
DS_INLINE Int16 luma(const uint8_t* r, const uint8_t* g, const uint8_t* b) {
  return (widen(load<Bytes16>(r)) * 19595 + widen(load<Bytes16>(g)) * 38470 + widen(load<Bytes16>(b)) * 7471 + 32768) >> 16;
}

DS_INLINE Bytes16 blend(Float16 base, Int16 value, float factor) { return narrow(to_byte_range(base + (to_float(value) - base) * factor)); }

// ⌊(2 s + 13) / 26⌋ for 0 ≤ s ≤ 3315 by a multiplication: 40330 / 2²⁰ equals 1/26 to within 1.5e-7.
DS_INLINE Int16 thirteenth(Int16 sum) { return ((sum * 2 + 13) * 40330) >> 20; }

}  // namespace

void look_up(uint8_t* values, size_t count, const uint8_t* table) {
  size_t i = 0;
#if DROPSTREAM_ISA_avx512
  const __m512i t0 = _mm512_loadu_si512(table), t1 = _mm512_loadu_si512(table + 64), t2 = _mm512_loadu_si512(table + 128), t3 = _mm512_loadu_si512(table + 192);
  for (; i + 64 <= count; i += 64) {
    const __m512i at = _mm512_loadu_si512(values + i);
    const __m512i low = _mm512_permutex2var_epi8(t0, at, t1), high = _mm512_permutex2var_epi8(t2, at, t3);
    _mm512_storeu_si512(values + i, _mm512_mask_blend_epi8(_mm512_movepi8_mask(at), low, high));
  }
#elif DROPSTREAM_ISA_neon
  // A quarter of the table at a time: lanes beyond the first one become 0, and lanes beyond a later one keep what they have.
  const uint8x16x4_t t0 = vld1q_u8_x4(table), t1 = vld1q_u8_x4(table + 64), t2 = vld1q_u8_x4(table + 128), t3 = vld1q_u8_x4(table + 192);
  for (; i + 16 <= count; i += 16) {
    const uint8x16_t at = vld1q_u8(values + i), quarter = vdupq_n_u8(64);
    const uint8x16_t second = vsubq_u8(at, quarter), third = vsubq_u8(second, quarter), fourth = vsubq_u8(third, quarter);
    vst1q_u8(values + i, vqtbx4q_u8(vqtbx4q_u8(vqtbx4q_u8(vqtbl4q_u8(t0, at), t1, second), t2, third), t3, fourth));
  }
#endif
  for (; i < count; i++) values[i] = table[values[i]];
}

void blend_luma(uint8_t* r, uint8_t* g, uint8_t* b, size_t count, float factor) {
  for (size_t i = 0; i < count; i += kPixels) {
    const int many = static_cast<int>(count - i < kPixels ? count - i : kPixels);
    const Float16 base = to_float(luma(r + i, g + i, b + i));
    const Bytes16 red = blend(base, widen(load<Bytes16>(r + i)), factor), green = blend(base, widen(load<Bytes16>(g + i)), factor);
    const Bytes16 blue = blend(base, widen(load<Bytes16>(b + i)), factor);
    store_part(r + i, red, many);
    store_part(g + i, green, many);
    store_part(b + i, blue, many);
  }
}

uint64_t luma_sum(const uint8_t* r, const uint8_t* g, const uint8_t* b, size_t count) {
  uint64_t sum = 0;
  size_t i = 0;
  while (i + kPixels <= count) {
    Int16 part = splat16(0);
    for (size_t end = i + 65536 < count ? i + 65536 : count; i + kPixels <= end; i += kPixels) part = part + luma(r + i, g + i, b + i);
    int32_t lanes[kPixels];
    store(lanes, part);
    for (const int32_t lane : lanes) sum += static_cast<uint32_t>(lane);
  }
  for (; i < count; i++) sum += static_cast<uint64_t>((19595 * r[i] + 38470 * g[i] + 7471 * b[i] + 32768) >> 16);
  return sum;
}

void sharpen(const Planes& source, float factor, const Planes& out) {
  for (int c = 0; c < 3; c++) {
    for (int y = 0; y < out.height; y++) {
      const uint8_t* line = source.row(c, y);
      uint8_t* to = out.row(c, y);
      const bool border = y == 0 || y + 1 == out.height;
      const auto width = static_cast<size_t>(out.width);
      // A smoothed border pixel equals the pixel itself, and blending equal values does not change them.
      if (border || out.width < 3) {
        memcpy(to, line, width);
        continue;
      }
      const uint8_t *above = source.row(c, y - 1), *below = source.row(c, y + 1);
      to[0] = line[0];
      to[width - 1] = line[width - 1];
      for (int x = 1; x + 1 < out.width; x += kPixels) {
        const auto three = [&](const uint8_t* row) {
          return widen(load<Bytes16>(row + x - 1)) + widen(load<Bytes16>(row + x)) + widen(load<Bytes16>(row + x + 1));
        };
        const Int16 own = widen(load<Bytes16>(line + x));
        const Int16 smooth = thirteenth(three(above) + three(line) + three(below) + own * 4);
        store_part(to + x, blend(to_float(smooth), own, factor), out.width - 1 - x);
      }
    }
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream::pixels
