#include "kernels.h"

#include <cstdlib>
#include <cstring>

namespace dropstream::pixels {

namespace portable { const PixelKernels& pixel_table(); }
#if DROPSTREAM_PIXELS_HAS_x86
namespace avx2 { const PixelKernels& pixel_table(); }
namespace avx512 { const PixelKernels& pixel_table(); }
#endif

const std::vector<const PixelKernels*>& available_pixel_kernels() {
  static const std::vector<const PixelKernels*> tables = [] {
    std::vector<const PixelKernels*> found;
#if DROPSTREAM_PIXELS_HAS_x86
    // Ice Lake, Zen 4 and newer; an AVX-512 CPU without byte permutes and byte products takes the AVX2 path.
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512vbmi") && __builtin_cpu_supports("avx512vnni"))
      found.push_back(&avx512::pixel_table());
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2")) found.push_back(&avx2::pixel_table());
#endif
    found.push_back(&portable::pixel_table());
    return found;
  }();
  return tables;
}

const PixelKernels& pixel_kernels() {
  static const PixelKernels& chosen = []() -> const PixelKernels& {
    const char* wish = std::getenv("DROPSTREAM_ISA");
    for (const PixelKernels* kernels : available_pixel_kernels()) {
      if (wish != nullptr && std::strcmp(wish, kernels->isa) == 0) return *kernels;
    }
    return *available_pixel_kernels().front();
  }();
  return chosen;
}

}  // namespace dropstream::pixels
