#include "dispatch.h"

#include "simd/isa.h"

namespace dropstream {

namespace portable {
const KernelTable& kernel_table();
}
namespace neon {
const KernelTable& kernel_table();
}
namespace neon_bf16 {
const KernelTable& kernel_table();
}
namespace avx2 {
const KernelTable& kernel_table();
}
namespace avx512 {
const KernelTable& kernel_table();
}
namespace avx512_bf16 {
const KernelTable& kernel_table();
}
namespace amx {
const KernelTable& kernel_table();
}

namespace {

// The table of an instruction set that this build contains.
const KernelTable& table_of(Isa isa) {
  switch (isa) {
    case Isa::portable: break;
    case Isa::neon:
#if DROPSTREAM_HAS_neon
      return neon::kernel_table();
#else
      break;
#endif
    case Isa::neon_bf16:
#if DROPSTREAM_HAS_neon_bf16
      return neon_bf16::kernel_table();
#else
      break;
#endif
    case Isa::avx2:
#if DROPSTREAM_HAS_avx2
      return avx2::kernel_table();
#else
      break;
#endif
    case Isa::avx512:
#if DROPSTREAM_HAS_avx512
      return avx512::kernel_table();
#else
      break;
#endif
    case Isa::avx512_bf16:
#if DROPSTREAM_HAS_avx512_bf16
      return avx512_bf16::kernel_table();
#else
      break;
#endif
    case Isa::amx:
#if DROPSTREAM_HAS_amx
      return amx::kernel_table();
#else
      break;
#endif
  }
  return portable::kernel_table();
}

}  // namespace

const std::vector<const KernelTable*>& available_kernels() {
  static const std::vector<const KernelTable*> tables = [] {
    std::vector<const KernelTable*> found;
    for (const Isa isa : available_isas()) found.push_back(&table_of(isa));
    return found;
  }();
  return tables;
}

const KernelTable& choose_kernels(const char* forced) { return table_of(choose_isa(forced)); }

}  // namespace dropstream
