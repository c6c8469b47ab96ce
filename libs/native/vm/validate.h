#pragma once
#include "vm/spec.h"

namespace dropstream {

struct CheckedProgram {
  std::vector<Op> forward, backward;
};

// Checks every bound, role, size and overlap of a program, so that executing it cannot touch any memory but its own. Throws
// std::invalid_argument and names the place, for example "forward[3] linear: input 1 …".
CheckedProgram check_program(const ProgramSpec& spec);

}  // namespace dropstream
