#include "dispatch.h"

#include <stdexcept>

#include "threads/tile-mode.h"

namespace dropstream {

namespace portable { const KernelTable& kernel_table(); }
#if DROPSTREAM_HAS_avx2
namespace avx2 { const KernelTable& kernel_table(); }
#endif
#if DROPSTREAM_HAS_amx
namespace amx { const KernelTable& kernel_table(); }
#endif
#if DROPSTREAM_HAS_avx512_bf16
namespace avx512_bf16 { const KernelTable& kernel_table(); }
#endif
#if DROPSTREAM_HAS_avx512
namespace avx512 { const KernelTable& kernel_table(); }
#endif

const std::vector<const KernelTable*>& available_kernels() {
  static const std::vector<const KernelTable*> tables = [] {
    std::vector<const KernelTable*> found;
#if DROPSTREAM_HAS_avx512
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl")) {
#if DROPSTREAM_HAS_avx512_bf16
      if (__builtin_cpu_supports("avx512bf16")) {
#if DROPSTREAM_HAS_amx
        if (tiles_permitted()) found.push_back(&amx::kernel_table());
#endif
        found.push_back(&avx512_bf16::kernel_table());
      }
#endif
      found.push_back(&avx512::kernel_table());
    }
#endif
#if DROPSTREAM_HAS_avx2
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) found.push_back(&avx2::kernel_table());
#endif
    found.push_back(&portable::kernel_table());
    return found;
  }();
  return tables;
}

const KernelTable& choose_kernels(const char* forced) {
  const auto& tables = available_kernels();
  if (!forced || !*forced) return *tables.front();
  std::string names;
  for (const KernelTable* table : tables) {
    if (std::string(forced) == table->isa) return *table;
    names += (names.empty() ? "" : ", ") + std::string(table->isa);
  }
  throw std::runtime_error("DROPSTREAM_ISA is \"" + std::string(forced) + "\", must be one of " + names + " on this machine");
}

}  // namespace dropstream
