// The kernel tables that this build has and this CPU can run, and the choice between them.
#pragma once
#include <string>
#include <vector>

#include "kernels/kernels.h"

namespace dropstream {

// Tables this CPU can run, fastest first; `portable` is always the last.
const std::vector<const KernelTable*>& available_kernels();

// The fastest, or the one named by `forced` (the value of DROPSTREAM_ISA; null or empty: no wish). Throws std::runtime_error for others.
const KernelTable& choose_kernels(const char* forced);

}  // namespace dropstream
