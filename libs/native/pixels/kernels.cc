#include "kernels.h"

#include <cstdlib>

#include "simd/cpu.h"
#include "simd/isa.h"

namespace dropstream::pixels {

namespace portable {
const PixelKernels& pixel_table();
}
#if DROPSTREAM_HAS_neon
namespace neon {
const PixelKernels& pixel_table();
}
#endif
#if DROPSTREAM_HAS_avx512
namespace avx2 {
const PixelKernels& pixel_table();
}
namespace avx512 {
const PixelKernels& pixel_table();
}
#endif

namespace {

// Chooses the fastest kernels that the instruction set allows. The engine's finer steps make no difference to pixels. The AVX-512 kernels
// also need byte permutes and byte products (Ice Lake, Zen 4 and newer), and the AVX2 kernels need BMI2.
const PixelKernels& kernels_for([[maybe_unused]] Isa isa) {
#if DROPSTREAM_HAS_avx512
  const CpuFeatures& has = cpu_features();
  if (isa >= Isa::avx512 && has.avx512vbmi && has.avx512vnni) return avx512::pixel_table();
  if (isa >= Isa::avx2 && has.bmi2) return avx2::pixel_table();
#endif
#if DROPSTREAM_HAS_neon
  if (isa >= Isa::neon) return neon::pixel_table();
#endif
  return portable::pixel_table();
}

}  // namespace

const PixelKernels& pixel_kernels() {
  static const PixelKernels& chosen = kernels_for(choose_isa(std::getenv("DROPSTREAM_ISA")));
  return chosen;
}

}  // namespace dropstream::pixels
