// Converts rows of samples to rows of pixels: libjpeg's fancy (triangle) upsampling of chroma, and Y'CbCr → RGB in 16-bit fixed point.
#include "vector/declare.h"

namespace dropstream::pixels {
namespace DROPSTREAM_ISA {

void ycc_row(const uint8_t* y, const uint8_t* cb, const uint8_t* cr, int count, uint8_t* r, uint8_t* g, uint8_t* b) {
  constexpr int kHalf = 1 << 15;
  for (int x = 0; x < count; x += kPixels) {
    const Int16 luma = widen(load<Bytes16>(y + x)), blue = widen(load<Bytes16>(cb + x)) - 128, red = widen(load<Bytes16>(cr + x)) - 128;
    const Int16 red_out = luma + ((red * 91881 + kHalf) >> 16);
    const Int16 green_out = luma + ((blue * -22554 + red * -46802 + kHalf) >> 16);
    const Int16 blue_out = luma + ((blue * 116130 + kHalf) >> 16);
    store_part(r + x, narrow_clamped(red_out), count - x);
    store_part(g + x, narrow_clamped(green_out), count - x);
    store_part(b + x, narrow_clamped(blue_out), count - x);
  }
}

void blend_chroma_rows(const uint8_t* near, const uint8_t* far, int bias, int count, uint8_t* out) {
  for (int x = 0; x < count; x += kPixels) {
    const Int16 sum = widen(load<Bytes16>(near + x)) * 3 + widen(load<Bytes16>(far + x)) + bias;
    store(out + x, narrow(sum >> 2));
  }
}

namespace {

template <bool kTwoRows>
DS_INLINE Int16 column_sums(const uint8_t* near, const uint8_t* far) {
  const Int16 sums = widen(load<Bytes16>(near));
  return kTwoRows ? sums * 3 + widen(load<Bytes16>(far)) : sums;
}

template <bool kTwoRows>
DS_INLINE void widen_row(const uint8_t* near, const uint8_t* far, int count, uint8_t* out) {
  constexpr int kShift = kTwoRows ? 4 : 2, kLeftBias = kTwoRows ? 8 : 1, kRightBias = kTwoRows ? 7 : 2;
  for (int x = 0; x < count; x += kPixels) {
    const Int16 here = column_sums<kTwoRows>(near + x, far + x) * 3;
    const Bytes16 left = narrow((here + column_sums<kTwoRows>(near + x - 1, far + x - 1) + kLeftBias) >> kShift);
    const Bytes16 right = narrow((here + column_sums<kTwoRows>(near + x + 1, far + x + 1) + kRightBias) >> kShift);
    store(out + 2 * x, __builtin_shufflevector(left, right, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23));
    store(out + 2 * x + 16, __builtin_shufflevector(left, right, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31));
  }
}

}  // namespace

void widen_chroma_row(const uint8_t* near, const uint8_t* far, int count, uint8_t* out) {
  if (far == nullptr) {
    widen_row<false>(near, near, count, out);
  } else {
    widen_row<true>(near, far, count, out);
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream::pixels
