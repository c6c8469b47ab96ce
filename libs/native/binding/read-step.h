#pragma once
#include "binding/values.h"
#include "vm/program.h"

namespace dropstream {

// The arguments of step and evaluate. Lengths of every array are checked against the program; the arrays are not copied, so the caller
// keeps them referenced until the call is over (`arrays` collects them).
MicroBatch read_micro_batch(const Field& field, const ProgramSpec& spec, std::vector<napi_value>& arrays);
StepRequest read_step(const Field& micro, const Field& random, const Field& loss_scale, const Field& optimizer, const ProgramSpec& spec,
                      std::vector<napi_value>& arrays);

}  // namespace dropstream
