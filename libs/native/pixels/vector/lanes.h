// Vectors of 16 lanes in the compiler's vector extension: one register on AVX-512, two on AVX2, four elsewhere. Everything lives in a
// namespace named after the instruction set, so that no inline function compiled for one CPU can be linked into the path of another.
#pragma once
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "kernels.h"

#if DROPSTREAM_PIXELS_avx512
#include <immintrin.h>
#endif

#define DS_INLINE inline __attribute__((always_inline))

namespace dropstream::pixels {
namespace DROPSTREAM_PIXELS {

constexpr int kLanes = 16;

typedef uint8_t Bytes16 __attribute__((vector_size(16)));
typedef int16_t Short16 __attribute__((vector_size(32)));
typedef int32_t Int16 __attribute__((vector_size(64)));
typedef float Float16 __attribute__((vector_size(64)));

DS_INLINE int smaller(int a, int b) { return a < b ? a : b; }
DS_INLINE int larger(int a, int b) { return a > b ? a : b; }

template <class Vector>
DS_INLINE Vector load(const void* from) {
  Vector v;
  memcpy(&v, from, sizeof v);
  return v;
}
template <class Vector>
DS_INLINE void store(void* to, Vector v) { memcpy(to, &v, sizeof v); }
// The first `count` bytes only.
DS_INLINE void store_part(uint8_t* to, Bytes16 v, int count) {
  if (count >= kLanes) return store(to, v);
  uint8_t bytes[kLanes];
  store(bytes, v);
  memcpy(to, bytes, static_cast<size_t>(count));
}

DS_INLINE Int16 widen(Bytes16 v) { return __builtin_convertvector(v, Int16); }
DS_INLINE Bytes16 narrow(Int16 v) { return __builtin_convertvector(v, Bytes16); }
DS_INLINE Int16 clamp_byte(Int16 v) {
  v = v < 0 ? Int16{} : v;
  return v > 255 ? Int16{} + 255 : v;
}

// Turns 16 × 16 bytes: row i of the input becomes column i of the output.
DS_INLINE void turn(Bytes16 (&m)[16]) {
  Bytes16 n[16];
  for (int round = 0; round < 4; round++) {
    for (int i = 0; i < 8; i++) {
      n[2 * i] = __builtin_shufflevector(m[i], m[i + 8], 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
      n[2 * i + 1] = __builtin_shufflevector(m[i], m[i + 8], 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
    }
    for (int i = 0; i < 16; i++) m[i] = n[i];
  }
}

}  // namespace DROPSTREAM_PIXELS
}  // namespace dropstream::pixels
