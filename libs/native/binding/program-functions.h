#pragma once
#include <node_api.h>

namespace dropstream {

// Adds createProgram and the program… functions to exports (EngineExports of libs/native/addon.ts).
void register_programs(napi_env env, napi_value exports);

}  // namespace dropstream
