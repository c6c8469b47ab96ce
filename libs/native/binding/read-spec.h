#pragma once
#include "binding/values.h"
#include "vm/spec.h"

namespace dropstream {

// A ProgramSpec of libs/engine/native/program-spec.ts. Types only; bounds are vm/validate.cc's.
ProgramSpec read_spec(const Field& spec);

}  // namespace dropstream
