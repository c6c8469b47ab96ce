#include "simd/cpu.h"

#if defined(__x86_64__)
#include <cpuid.h>

#include <cstdint>
#elif defined(__aarch64__) && defined(__linux__)
#include <sys/auxv.h>
#elif defined(__aarch64__) && defined(__APPLE__)
#include <sys/sysctl.h>

#include <cstddef>
#endif

namespace dropstream {

namespace {

#if defined(__x86_64__)

bool bit(unsigned word, int position) { return word >> position & 1; }

// Which registers the operating system keeps: bits 1 and 2 for those of AVX, 5 to 7 for those of AVX-512.
uint64_t kept_registers() {
  uint32_t low, high;
  asm volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

CpuFeatures detect() {
  CpuFeatures has;
  unsigned a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !bit(c, 27)) return has;  // OSXSAVE: xgetbv may be used
  const uint64_t kept = kept_registers();
  const bool avx = bit(c, 28) && (kept & 0x06) == 0x06, avx512 = avx && (kept & 0xe0) == 0xe0;
  has.fma = avx && bit(c, 12);
  if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return has;
  const unsigned further = a;
  has.avx2 = avx && bit(b, 5);
  has.bmi2 = bit(b, 8);
  has.avx512f = avx512 && bit(b, 16);
  has.avx512dq = has.avx512f && bit(b, 17);
  has.avx512bw = has.avx512f && bit(b, 30);
  has.avx512vl = has.avx512f && bit(b, 31);
  has.avx512vbmi = has.avx512f && bit(c, 1);
  has.avx512vnni = has.avx512f && bit(c, 11);
  if (further >= 1 && __get_cpuid_count(7, 1, &a, &b, &c, &d)) has.avx512bf16 = has.avx512f && bit(a, 5);
  return has;
}

#elif defined(__aarch64__)

CpuFeatures detect() {
  CpuFeatures has;
#if defined(__linux__)
  constexpr unsigned long kBf16 = 1ul << 14;  // HWCAP2_BF16, which older headers lack
  has.arm_bf16 = getauxval(AT_HWCAP2) & kBf16;
#elif defined(__APPLE__)
  int found = 0;
  size_t size = sizeof found;
  has.arm_bf16 = sysctlbyname("hw.optional.arm.FEAT_BF16", &found, &size, nullptr, 0) == 0 && found;
#endif
  return has;
}

#else

CpuFeatures detect() { return {}; }

#endif

}  // namespace

const CpuFeatures& cpu_features() {
  static const CpuFeatures has = detect();
  return has;
}

}  // namespace dropstream
