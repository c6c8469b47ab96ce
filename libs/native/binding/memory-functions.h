#pragma once
#include <node_api.h>

namespace dropstream {

// allocateMemory(bytes: number) → ArrayBuffer of zeros that is not shared, in huge pages if the system provides them (vm/memory.h).
void register_memory(napi_env env, napi_value exports);

}  // namespace dropstream
