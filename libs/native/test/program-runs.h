// Tests that every program must pass.
#pragma once
#include <string>

#include "vm/program.h"

namespace dropstream::test {

// Three optimizer steps have equal bits for 1, 2 and 5 threads and allocate nothing after the first; the gradient of every parameter
// agrees with central differences of the loss. Dropout sites have rates 0.1 and 0.2, drop paths 0.3.
void check_runs(const std::string& name, const KernelTable& kernels, const ProgramSpec& spec);

}  // namespace dropstream::test
