// What this processor and its operating system support, asked of the processor itself: compilers' __builtin_cpu_supports needs a library that not every
// compiler brings.
#pragma once

namespace dropstream {

struct CpuFeatures {
  bool avx2 = false, fma = false, bmi2 = false;  // of x86-64, only if the operating system keeps the registers
  bool avx512f = false, avx512dq = false, avx512bw = false, avx512vl = false, avx512vbmi = false, avx512vnni = false, avx512bf16 = false;
  bool arm_bf16 = false;  // FEAT_BF16
};

const CpuFeatures& cpu_features();

}  // namespace dropstream
