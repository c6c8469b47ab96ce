#pragma once
#include "binding/values.h"
#include "vm/spec.h"

namespace dropstream {

// Reads a ProgramSpec of libs/engine/native/program-spec.ts. It checks types only; vm/validate.cc checks bounds.
ProgramSpec read_spec(const Field& spec);

}  // namespace dropstream
