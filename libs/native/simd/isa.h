// The instruction sets that kernels and pixels are compiled for, and the process's one choice between them.
#pragma once
#include <vector>

namespace dropstream {

// Ascending: each can run whatever the ones before it can. amx: as avx512_bf16, with products of bf16 in tiles.
enum class Isa { portable, avx2, avx512, avx512_bf16, amx };

const char* name_of(Isa isa);

// Those that this build has and this CPU runs, fastest first; `portable` is always the last.
const std::vector<Isa>& available_isas();

// The fastest, or the one named by `forced` (the value of DROPSTREAM_ISA; null or empty: no wish). Throws std::runtime_error for others.
Isa choose_isa(const char* forced);

}  // namespace dropstream
