#pragma once
#include <node_api.h>

namespace dropstream {

// Adds createProgram, programStep, programEvaluate, programRead, programWrite, programDispose and programMemory to exports.
void register_programs(napi_env env, napi_value exports);

}  // namespace dropstream
