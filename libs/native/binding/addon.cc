// The entry point of the addon: engine information, programs, files, memory, and the pixel functions if they are built in.
#include <cstdlib>

#include "binding/file-functions.h"
#include "binding/memory-functions.h"
#include "binding/program-functions.h"
#include "binding/values.h"
#include "dispatch.h"
#include "threads/pool.h"

#ifdef DROPSTREAM_HAS_PIXELS
void register_pixels(napi_env env, napi_value exports);
#endif

namespace dropstream {
namespace {

// EngineInfo of libs/native/addon.ts.
napi_value engine_info(napi_env env, napi_callback_info) {
  return guarded(env, [&]() -> napi_value {
    napi_value info, available;
    require_ok(env, napi_create_object(env, &info));
    require_ok(env, napi_create_array(env, &available));
    uint32_t count = 0;
    for (const KernelTable* table : available_kernels()) require_ok(env, napi_set_element(env, available, count++, make_text(env, table->isa)));
    set_property(env, info, "isa", make_text(env, choose_kernels(getenv("DROPSTREAM_ISA")).isa));
    set_property(env, info, "available", available);
    set_property(env, info, "threads", make_number(env, Pool::shared().threads()));
    set_property(env, info, "build", make_text(env, DROPSTREAM_BUILD_ID));
    set_property(env, info, "numerics", make_text(env, DROPSTREAM_NUMERICS_ID));
    return info;
  });
}

}  // namespace
}  // namespace dropstream

NAPI_MODULE_INIT() {
  return dropstream::guarded(env, [&]() -> napi_value {
    napi_value function;
    dropstream::require_ok(env, napi_create_function(env, "engineInfo", NAPI_AUTO_LENGTH, dropstream::engine_info, nullptr, &function));
    dropstream::set_property(env, exports, "engineInfo", function);
    dropstream::register_programs(env, exports);
    dropstream::register_files(env, exports);
    dropstream::register_memory(env, exports);
#ifdef DROPSTREAM_HAS_PIXELS
    register_pixels(env, exports);
#endif
    return exports;
  });
}
