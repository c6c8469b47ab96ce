#include "binding/memory-functions.h"

#include <memory>
#include <utility>

#include "binding/free-elsewhere.h"
#include "binding/values.h"
#include "vm/memory.h"

namespace dropstream {
namespace {

constexpr size_t kMostBytes = size_t{1} << 40;
// Below, freeing takes less time than starting a thread.
constexpr size_t kFreedElsewhere = 4u << 20;

void free_memory(napi_env, void*, void* owner) {
  std::unique_ptr<Memory> memory(static_cast<Memory*>(owner));
  if (memory->bytes() >= kFreedElsewhere) free_elsewhere(std::move(memory));
}

napi_value allocate(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    napi_value arg;
    size_t count = 1;
    require_ok(env, napi_get_cb_info(env, info, &count, &arg, nullptr, nullptr));
    const size_t bytes = Field(env, arg, "bytes").whole(kMostBytes);
    auto memory = std::make_unique<Memory>(bytes);
    napi_value buffer;
    require_ok(env, napi_create_external_arraybuffer(env, memory->as<void>(), bytes, free_memory, memory.get(), &buffer));
    (void)memory.release();  // free_memory has it
    return buffer;
  });
}

}  // namespace

void register_memory(napi_env env, napi_value exports) {
  napi_value function;
  require_ok(env, napi_create_function(env, "allocateMemory", NAPI_AUTO_LENGTH, allocate, nullptr, &function));
  set_property(env, exports, "allocateMemory", function);
}

}  // namespace dropstream
