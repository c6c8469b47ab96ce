#include "simd/isa.h"

#include <stdexcept>
#include <string>

#include "simd/cpu.h"
#include "threads/tile-mode.h"

namespace dropstream {

namespace {

bool runs(Isa isa) {
  [[maybe_unused]] const CpuFeatures& has = cpu_features();
  switch (isa) {
    case Isa::portable: return true;
#if DROPSTREAM_HAS_neon
    case Isa::neon: return true;  // part of the architecture
#else
    case Isa::neon: return false;
#endif
#if DROPSTREAM_HAS_neon_bf16
    case Isa::neon_bf16: return has.arm_bf16;
#else
    case Isa::neon_bf16: return false;
#endif
#if DROPSTREAM_HAS_avx2
    case Isa::avx2: return has.avx2 && has.fma;
#else
    case Isa::avx2: return false;
#endif
#if DROPSTREAM_HAS_avx512
    case Isa::avx512: return has.avx512f && has.avx512dq && has.avx512bw && has.avx512vl;
#else
    case Isa::avx512: return false;
#endif
#if DROPSTREAM_HAS_avx512_bf16
    case Isa::avx512_bf16: return runs(Isa::avx512) && has.avx512bf16;
#else
    case Isa::avx512_bf16: return false;
#endif
#if DROPSTREAM_HAS_amx
    case Isa::amx: return runs(Isa::avx512_bf16) && tiles_permitted();
#else
    case Isa::amx: return false;
#endif
  }
  return false;
}

}  // namespace

const char* name_of(Isa isa) {
  switch (isa) {
    case Isa::portable: return "portable";
    case Isa::neon: return "neon";
    case Isa::neon_bf16: return "neon_bf16";
    case Isa::avx2: return "avx2";
    case Isa::avx512: return "avx512";
    case Isa::avx512_bf16: return "avx512_bf16";
    case Isa::amx: return "amx";
  }
  return "unknown";
}

const std::vector<Isa>& available_isas() {
  static const std::vector<Isa> isas = [] {
    std::vector<Isa> found;
    for (const Isa isa : {Isa::amx, Isa::avx512_bf16, Isa::avx512, Isa::avx2, Isa::neon_bf16, Isa::neon, Isa::portable})
      if (runs(isa)) found.push_back(isa);
    return found;
  }();
  return isas;
}

Isa choose_isa(const char* forced) {
  const std::vector<Isa>& isas = available_isas();
  if (!forced || !*forced) return isas.front();
  std::string names;
  for (const Isa isa : isas) {
    if (std::string(forced) == name_of(isa)) return isa;
    names += (names.empty() ? "" : ", ") + std::string(name_of(isa));
  }
  throw std::runtime_error("DROPSTREAM_ISA is \"" + std::string(forced) + "\", must be one of " + names + " on this machine");
}

}  // namespace dropstream
