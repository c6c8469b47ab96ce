// A model of the tile registers in plain C++. Tests use it on machines without AMX, so that packing, edges and the loop nest are tested
// everywhere.
//
// A product is added to a sum as Intel's manual defines tdpbf16ps. The first elements of the 16 pairs are summed from zero in one chain,
// and the second elements in another, both along k. Then the two chains are added, and their sum is added to the tile. Every operation
// rounds to nearest even, and denormals count as zero in operands and results, whatever the mode of the thread. The manual's chains are
// FMAs. Products of bf16 are exact in fp32, so a multiplication followed by an addition gives the same result as long as the product is in
// the normal range of fp32. The model does not cover products outside of it.
#pragma once
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

DS_INLINE float without_denormal(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  bits &= bits & 0x7f800000u ? 0xffffffffu : 0x80000000u;
  memcpy(&x, &bits, sizeof bits);
  return x;
}

struct Tiles {
  unsigned char tile[8][16][64];

  template <int N>
  void zero() {
    memset(tile[N], 0, sizeof tile[N]);
  }
  template <int N>
  void load(const void* at, size_t stride) {
    for (size_t row = 0; row < 16; row++) memcpy(tile[N][row], static_cast<const char*>(at) + row * stride, 64);
  }
  template <int N>
  void store(void* at, size_t stride) {
    for (size_t row = 0; row < 16; row++) memcpy(static_cast<char*>(at) + row * stride, tile[N][row], 64);
  }
  template <int Row, int Column>
  void multiply() {
    product_of(tile[2 * Row + Column], tile[4 + Row], tile[6 + Column]);
  }

  static void product_of(unsigned char (*sum)[64], const unsigned char (*left)[64], const unsigned char (*right)[64]) {
    float first_right[16][16], second_right[16][16];
    for (size_t k = 0; k < 16; k++) halves_of(right[k], first_right[k], second_right[k]);
    for (size_t row = 0; row < 16; row++) {
      float first_left[16], second_left[16], first[16] = {}, second[16] = {}, total[16];
      halves_of(left[row], first_left, second_left);
      for (size_t k = 0; k < 16; k++)
        for (size_t j = 0; j < 16; j++) {
          first[j] = without_denormal(first[j] + without_denormal(first_left[k] * first_right[k][j]));
          second[j] = without_denormal(second[j] + without_denormal(second_left[k] * second_right[k][j]));
        }
      memcpy(total, sum[row], sizeof total);
      for (size_t j = 0; j < 16; j++) total[j] = without_denormal(without_denormal(total[j]) + without_denormal(first[j] + second[j]));
      memcpy(sum[row], total, sizeof total);
    }
  }

 private:
  static void halves_of(const unsigned char* row, float* first, float* second) {
    Pair pairs[16];
    memcpy(pairs, row, sizeof pairs);
    for (size_t i = 0; i < 16; i++) {
      first[i] = without_denormal(to_float(pairs[i].first));
      second[i] = without_denormal(to_float(pairs[i].second));
    }
  }
};

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
