#include "sums.h"

#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace dropstream {

// One addition per element: any vector width gives the same bits, and memory is what limits it.
void add_floats(float* into, const float* left, const float* right, size_t count) {
  for (size_t i = 0; i < count; i++) into[i] = left[i] + right[i];
}

void flush_subnormals(bool flush) {
#if defined(__x86_64__)
  _mm_setcsr(flush ? _mm_getcsr() | 0x8040 : _mm_getcsr() & ~0x8040u);
#elif defined(__aarch64__)
  uint64_t control;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  asm volatile("msr fpcr, %0" : : "r"(flush ? control | (1ull << 24) : control & ~(1ull << 24)));
#else
  (void)flush;
#endif
}

}  // namespace dropstream
