// The instruction sets that kernels and pixels are compiled for, and the choice of one of them for the process.
#pragma once
#include <vector>

namespace dropstream {

// In ascending order for each architecture (arm64: the two of neon; x86-64: the others): each one can run whatever the ones before it can. amx is
// avx512_bf16 with products of bf16 in tiles. neon_bf16 is neon with FEAT_BF16.
enum class Isa { portable, neon, neon_bf16, avx2, avx512, avx512_bf16, amx };

const char* name_of(Isa isa);

// The instruction sets that this build contains and this CPU can run, fastest first; `portable` is always the last.
const std::vector<Isa>& available_isas();

// The fastest instruction set, or the one named by `forced` (the value of DROPSTREAM_ISA; null or empty means no choice). Throws
// std::runtime_error for any other name.
Isa choose_isa(const char* forced);

}  // namespace dropstream
