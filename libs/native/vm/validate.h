#pragma once
#include "vm/spec.h"

namespace dropstream {

struct CheckedProgram {
  std::vector<Op> forward, backward;
};

// Checks every bound, role, size and overlap of a program, so that executing it can touch nothing but its own memory.
// Throws std::invalid_argument naming the place, e.g. "forward[3] linear: input 1 …".
CheckedProgram check_program(const ProgramSpec& spec);

}  // namespace dropstream
