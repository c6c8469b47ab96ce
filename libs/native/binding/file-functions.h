#pragma once
#include <node_api.h>

namespace dropstream {

// readFiles(paths: string[], sizes: Float64Array, folders: string[], memory: Uint8Array, cancel: Uint8Array) → Promise<Float64Array>:
// the files one after the other in memory; [status, found] of each, as FileOutcome. ECANCELED: not begun when cancel[0] became 1.
void register_files(napi_env env, napi_value exports);

}  // namespace dropstream
