// The functions that JavaScript can call, by file. Each throws ArgumentError for wrong arguments (guarded<> turns it into a TypeError).
#pragma once
#include <node_api.h>

namespace dropstream::pixels {

// render-functions.cc
napi_value render_batch(napi_env env, napi_callback_info callback);
napi_value decode_one(napi_env env, napi_callback_info callback);
// finish-functions.cc
napi_value finish_batch(napi_env env, napi_callback_info callback);
// test-functions.cc
napi_value normal_quantiles(napi_env env, napi_callback_info callback);
napi_value noise(napi_env env, napi_callback_info callback);
napi_value rotation(napi_env env, napi_callback_info callback);
napi_value decode_window(napi_env env, napi_callback_info callback);

}  // namespace dropstream::pixels
