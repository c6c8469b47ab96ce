// The kernel tables that this build contains and this CPU can run, and the choice between them.
#pragma once
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace dropstream {

// The tables that this CPU can run, fastest first; `portable` is always the last.
const std::vector<const KernelTable*>& available_kernels();

// The fastest table, or the one named by `forced` (the value of DROPSTREAM_ISA; null or empty means no choice). Throws std::runtime_error
// for any other name.
const KernelTable& choose_kernels(const char* forced);

}  // namespace dropstream
