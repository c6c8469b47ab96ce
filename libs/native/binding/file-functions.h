#pragma once
#include <node_api.h>

namespace dropstream {

// readFiles(paths: string[], sizes: Float64Array, folders: string[], memory: Uint8Array, cancel: Uint8Array) → Promise<Float64Array> reads
// the files into memory one after another. The result holds [status, found] of each file, as in FileOutcome. The status is ECANCELED if a
// file had not been begun when cancel[0] became 1.
void register_files(napi_env env, napi_value exports);

}  // namespace dropstream
