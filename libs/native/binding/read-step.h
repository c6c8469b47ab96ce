// Reads the arguments of a program's calls (libs/engine/executable.ts) into plain C++. Arrays are not copied; they are added to `arrays`,
// which must stay referenced while the call runs.
#pragma once
#include "binding/values.h"
#include "vm/program.h"

namespace dropstream {

MicroBatch read_micro_batch(const Field& field, const ProgramSpec& spec, std::vector<napi_value>& arrays);
LeafRequest read_leaf(const Field& leaf, const ProgramSpec& spec, std::vector<napi_value>& arrays);
Optimizer read_optimizer(const Field& field);
Subtree read_subtree(const Field& field);
float* read_gradients(const Field& field, size_t expected, std::vector<napi_value>& arrays);
std::vector<ParameterValues> read_parameters(const Field& list, const ProgramSpec& spec, std::vector<napi_value>& arrays);
std::vector<Initializer> read_initializers(const Field& list, const ProgramSpec& spec);

}  // namespace dropstream
