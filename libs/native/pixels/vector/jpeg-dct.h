// libjpeg's accurate integer inverse DCT (Loeffler, Ligtenberg and Moschytz, with 13-bit constants; first columns, then rows) of two blocks
// at once. Lanes 0–7 are the columns of the first block, lanes 8–15 those of the second.
#pragma once

namespace dropstream::pixels {
namespace DROPSTREAM_ISA {

// One dimension of the transform over eight vectors, in place. `round` and `shift` are those of the descaling.
DS_INLINE void inverse_eight(Int16 (&v)[8], int round, int shift) {
  const Int16 even = (v[2] + v[6]) * 4433;
  const Int16 e2 = even - v[6] * 15137, e3 = even + v[2] * 6270;
  const Int16 e0 = ((v[0] + v[4]) << 13) + round, e1 = ((v[0] - v[4]) << 13) + round;
  const Int16 a0 = e0 + e3, a3 = e0 - e3, a1 = e1 + e2, a2 = e1 - e2;
  const Int16 five = (v[7] + v[3] + v[5] + v[1]) * 9633;
  const Int16 z1 = (v[7] + v[1]) * -7373, z2 = (v[5] + v[3]) * -20995;
  const Int16 z3 = (v[7] + v[3]) * -16069 + five, z4 = (v[5] + v[1]) * -3196 + five;
  const Int16 o0 = v[7] * 2446 + z1 + z3, o1 = v[5] * 16819 + z2 + z4, o2 = v[3] * 25172 + z2 + z3, o3 = v[1] * 12299 + z1 + z4;
  v[0] = (a0 + o3) >> shift;
  v[7] = (a0 - o3) >> shift;
  v[1] = (a1 + o2) >> shift;
  v[6] = (a1 - o2) >> shift;
  v[2] = (a2 + o1) >> shift;
  v[5] = (a2 - o1) >> shift;
  v[3] = (a3 + o0) >> shift;
  v[4] = (a3 - o0) >> shift;
}

#if DROPSTREAM_ISA_avx512

// Transposes the 8 × 8 lanes of each half.
DS_INLINE void turn_halves(Int16 (&v)[8]) {
  IntPart w[8], q[8];
  for (int i = 0; i < 8; i += 2) {  // pairs of rows
    const IntPart a = v[i].part[0], b = v[i + 1].part[0];
    w[i] = __builtin_shufflevector(a, b, 0, 16, 2, 18, 4, 20, 6, 22, 8, 24, 10, 26, 12, 28, 14, 30);
    w[i + 1] = __builtin_shufflevector(a, b, 1, 17, 3, 19, 5, 21, 7, 23, 9, 25, 11, 27, 13, 29, 15, 31);
  }
  for (int i = 0; i < 8; i += 4) {  // fours
    for (int j = 0; j < 2; j++) {
      const IntPart a = w[i + j], b = w[i + 2 + j];
      q[i + j] = __builtin_shufflevector(a, b, 0, 1, 16, 17, 4, 5, 20, 21, 8, 9, 24, 25, 12, 13, 28, 29);
      q[i + 2 + j] = __builtin_shufflevector(a, b, 2, 3, 18, 19, 6, 7, 22, 23, 10, 11, 26, 27, 14, 15, 30, 31);
    }
  }
  for (int j = 0; j < 4; j++) {  // eights
    v[j].part[0] = __builtin_shufflevector(q[j], q[4 + j], 0, 1, 2, 3, 16, 17, 18, 19, 8, 9, 10, 11, 24, 25, 26, 27);
    v[4 + j].part[0] = __builtin_shufflevector(q[j], q[4 + j], 4, 5, 6, 7, 20, 21, 22, 23, 12, 13, 14, 15, 28, 29, 30, 31);
  }
}

DS_INLINE Int16 both_rows(const int16_t* a, const int16_t* b) {
  const __m256i low = _mm256_castsi128_si256((__m128i)load<Short8>(a));
  return {{(IntPart)_mm512_cvtepi16_epi32(_mm256_inserti128_si256(low, (__m128i)load<Short8>(b), 1))}};
}

#elif DROPSTREAM_ISA_avx2

DS_INLINE void turn_halves(Int16 (&v)[8]) {
  for (int half = 0; half < 2; half++) {
    IntPart w[8], q[8];
    for (int i = 0; i < 8; i += 2) {
      const IntPart a = v[i].part[half], b = v[i + 1].part[half];
      w[i] = __builtin_shufflevector(a, b, 0, 8, 1, 9, 4, 12, 5, 13);
      w[i + 1] = __builtin_shufflevector(a, b, 2, 10, 3, 11, 6, 14, 7, 15);
    }
    for (int i = 0; i < 8; i += 4) {
      for (int j = 0; j < 2; j++) {
        const IntPart a = w[i + j], b = w[i + 2 + j];
        q[i + 2 * j] = __builtin_shufflevector(a, b, 0, 1, 8, 9, 4, 5, 12, 13);
        q[i + 2 * j + 1] = __builtin_shufflevector(a, b, 2, 3, 10, 11, 6, 7, 14, 15);
      }
    }
    for (int j = 0; j < 4; j++) {
      v[j].part[half] = __builtin_shufflevector(q[j], q[4 + j], 0, 1, 2, 3, 8, 9, 10, 11);
      v[4 + j].part[half] = __builtin_shufflevector(q[j], q[4 + j], 4, 5, 6, 7, 12, 13, 14, 15);
    }
  }
}

DS_INLINE Int16 both_rows(const int16_t* a, const int16_t* b) {
  return {{(IntPart)_mm256_cvtepi16_epi32((__m128i)load<Short8>(a)), (IntPart)_mm256_cvtepi16_epi32((__m128i)load<Short8>(b))}};
}

#else

// Parts 0 and 1 are the columns of the first half, parts 2 and 3 those of the second.
DS_INLINE void turn_halves(Int16 (&v)[8]) {
  for (int half = 0; half < 4; half += 2) {
    IntPart transposed[2][8];
    for (int side = 0; side < 2; side++) {
      for (int i = 0; i < 8; i += 4) {
        const IntPart a = v[i].part[half + side], b = v[i + 1].part[half + side], c = v[i + 2].part[half + side], d = v[i + 3].part[half + side];
        const IntPart ab0 = __builtin_shufflevector(a, b, 0, 4, 1, 5), ab1 = __builtin_shufflevector(a, b, 2, 6, 3, 7);
        const IntPart cd0 = __builtin_shufflevector(c, d, 0, 4, 1, 5), cd1 = __builtin_shufflevector(c, d, 2, 6, 3, 7);
        transposed[side][i] = __builtin_shufflevector(ab0, cd0, 0, 1, 4, 5);
        transposed[side][i + 1] = __builtin_shufflevector(ab0, cd0, 2, 3, 6, 7);
        transposed[side][i + 2] = __builtin_shufflevector(ab1, cd1, 0, 1, 4, 5);
        transposed[side][i + 3] = __builtin_shufflevector(ab1, cd1, 2, 3, 6, 7);
      }
    }
    for (int i = 0; i < 4; i++) {
      for (int side = 0; side < 2; side++) {
        v[4 * side + i].part[half] = transposed[side][i];
        v[4 * side + i].part[half + 1] = transposed[side][4 + i];
      }
    }
  }
}

#if DROPSTREAM_ISA_neon
DS_INLINE Int16 both_rows(const int16_t* a, const int16_t* b) {
  const int16x8_t first = vld1q_s16(a), second = vld1q_s16(b);
  return {{(IntPart)vmovl_s16(vget_low_s16(first)), (IntPart)vmovl_high_s16(first), (IntPart)vmovl_s16(vget_low_s16(second)), (IntPart)vmovl_high_s16(second)}};
}
#else
DS_INLINE Int16 both_rows(const int16_t* a, const int16_t* b) {
  Int16 v;
  for (int half = 0; half < 2; half++) {
    const auto shorts = load<Short8>(half == 0 ? a : b);
    const Short8 signs = shorts >> 15;
    v.part[2 * half] = (IntPart)__builtin_shufflevector(shorts, signs, 0, 8, 1, 9, 2, 10, 3, 11);
    v.part[2 * half + 1] = (IntPart)__builtin_shufflevector(shorts, signs, 4, 12, 5, 13, 6, 14, 7, 15);
  }
  return v;
}
#endif

#endif

// Whether lanes i and i + 4 of a half have a sum above `limit`.
DS_INLINE bool any_two_columns_above(Int16 columns, int limit) {
#if DROPSTREAM_ISA_avx512
  const auto v = (__m512i)columns.part[0];
  return _mm512_cmpgt_epi32_mask(_mm512_add_epi32(v, _mm512_shuffle_i64x2(v, v, 0xb1)), _mm512_set1_epi32(limit)) != 0;
#elif DROPSTREAM_ISA_neon
  const IntPart first = columns.part[0] + columns.part[1], second = columns.part[2] + columns.part[3];
  return vmaxvq_s32(vmaxq_s32((int32x4_t)first, (int32x4_t)second)) > limit;
#else
  int32_t sums[16], found = 0;
  store(sums, columns);
  for (int i = 0; i < 16; i++) found = max(found, sums[i] + sums[i ^ 4]);
  return found > limit;
#endif
}

// Transforms coefficients that are 0 after `last` in zigzag order. Returns false if a sum might not fit in the 16 bits that libjpeg-turbo's
// vector code keeps between its passes, because libjpeg-turbo's result for such a block cannot be predicted.
DS_INLINE bool inverse_pair(const int16_t* a, const int16_t* b, const int16_t* quant, int last, uint8_t* out_a, uint8_t* out_b, size_t stride) {
  constexpr int kMaxOfTwoColumns = 5900;  // 5900 · 4 · √2 · cos(π/16) < 2¹⁵
  if (last == 0) {
    int bytes[2];
    for (int i = 0; i < 2; i++) {
      const int dc = (i == 0 ? a : b)[0] * quant[0];
      if (dc > kMaxOfTwoColumns || dc < -kMaxOfTwoColumns) return false;
      const int value = ((4 * dc + 16) >> 5) + 128;
      bytes[i] = value < 0 ? 0 : value > 255 ? 255 : value;
    }
    for (int y = 0; y < 8; y++) {
      memset(out_a + static_cast<size_t>(y) * stride, bytes[0], 8);
      memset(out_b + static_cast<size_t>(y) * stride, bytes[1], 8);
    }
    return true;
  }
  Int16 v[8], columns = splat16(0);
  for (int i = 0; i < 8; i++) {
    v[i] = both_rows(a + 8 * i, b + 8 * i) * both_rows(quant + 8 * i, quant + 8 * i);
    columns = columns + absolute(v[i]);
  }
  if (any_two_columns_above(columns, kMaxOfTwoColumns)) return false;
  inverse_eight(v, 1 << 10, 11);
  turn_halves(v);
  inverse_eight(v, 1 << 17, 18);
  turn_halves(v);
  for (int y = 0; y < 8; y++) {
    const Bytes16 row = narrow_clamped(v[y] + 128);
    memcpy(out_a + static_cast<size_t>(y) * stride, &row, 8);
    memcpy(out_b + static_cast<size_t>(y) * stride, reinterpret_cast<const char*>(&row) + 8, 8);
  }
  return true;
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream::pixels
