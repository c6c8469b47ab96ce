// The boundary between the pixel library and Node-API. It exports:
//   pixelsInfo() → { jpeg, path, threads }
//   pixelsRender(sources: Uint8Array[], palettes: (Uint8Array | null)[], records: Float64Array, size, out, threads, cancel)
//     → Promise<(string | null)[]>
//   pixelsDecode(source: Uint8Array, palette: Uint8Array | null, record: Float64Array, out) → Promise<(string | null)[]>:
//     applies the record's flip and operations at the size of the source
//   pixelsFinish(pixels, count, size, tables: Float32Array, records: Float64Array, out: Float32Array | Uint16Array, threads)
//     → Promise<(string | null)[]>
// For tests only:
//   pixelsNormalQuantile(p: Float64Array) → Float64Array
//   pixelsNoise(k0, k1, box, sample, first, count) → Float32Array
//   pixelsRotation(degrees) → [cos, sin]
//   pixelsDecodeWindow(jpeg, [top, left, height, width]: Int32Array, plain: 0 or 1, out) → out, or undefined if the file is not plain
// Wrong arguments throw a TypeError at once. The promise is settled on the calling thread; typed arrays are kept alive until then, and must
// not be transferred meanwhile. `cancel[0] != 0` skips the jobs that have not started; the reason of their failure is "cancelled".
#include <node_api.h>

#include <mutex>

#include "binding/arguments.h"
#include "binding/call.h"
#include "binding/exports.h"
#include "jpeg.h"
#include "kernels.h"
#include "threads/cores.h"

namespace dropstream::pixels {
namespace {

// There is one pool per process, with as many threads as the engine would use (cgroup, DROPSTREAM_THREADS). It exists while any environment
// does.
std::mutex pool_mutex;
std::weak_ptr<Pool> shared_pool;

std::shared_ptr<Pool> acquire_pool() {
  const std::lock_guard lock(pool_mutex);
  std::shared_ptr<Pool> pool = shared_pool.lock();
  if (!pool) shared_pool = pool = std::make_shared<Pool>(compute_threads());
  return pool;
}

napi_value info(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 0);
  napi_value object, jpeg, path, threads;
  check(napi_create_object(env, &object), "Node-API could not make an object");
  check(napi_create_string_utf8(env, jpeg_library(), NAPI_AUTO_LENGTH, &jpeg), "Node-API could not make a string");
  check(napi_create_string_utf8(env, pixel_kernels().isa, NAPI_AUTO_LENGTH, &path), "Node-API could not make a string");
  check(napi_create_double(env, static_cast<double>(arguments.environment->pool->size()), &threads), "Node-API could not make a number");
  check(napi_set_named_property(env, object, "jpeg", jpeg), "Node-API could not set a property");
  check(napi_set_named_property(env, object, "path", path), "Node-API could not set a property");
  check(napi_set_named_property(env, object, "threads", threads), "Node-API could not set a property");
  return object;
}

void settle_on_thread(napi_env env, napi_value, void*, void* data) { static_cast<Call*>(data)->settle(env); }

// Runs before the environment frees the typed arrays that jobs use.
void close_environment(void* data) {
  auto* environment = static_cast<Environment*>(data);
  environment->closing.store(true);
  environment->pool->drain(environment);
  napi_release_threadsafe_function(environment->settle, napi_tsfn_abort);
  environment->pool.reset();
}

}  // namespace
}  // namespace dropstream::pixels

void register_pixels(napi_env env, napi_value exports) {
  using namespace dropstream::pixels;
  auto* environment = new Environment{env, nullptr, acquire_pool()};
  napi_value name;
  napi_create_string_utf8(env, "dropstream.pixels", NAPI_AUTO_LENGTH, &name);
  // The finalizer runs last, after queued calls have been returned with env == nullptr.
  const auto destroy = [](napi_env, void* data, void*) { delete static_cast<Environment*>(data); };
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, environment, destroy, nullptr, settle_on_thread, &environment->settle) != napi_ok) {
    delete environment;
    napi_throw_error(env, nullptr, "pixels: no thread-safe function");
    return;
  }
  napi_unref_threadsafe_function(env, environment->settle);  // an idle addon does not keep the process alive
  napi_add_env_cleanup_hook(env, close_environment, environment);
  const auto method = [&](const char* key, napi_callback callback) -> napi_property_descriptor {
    return {key, nullptr, callback, nullptr, nullptr, nullptr, napi_enumerable, environment};
  };
  const napi_property_descriptor properties[] = {
      method("pixelsInfo", guarded<info>),
      method("pixelsRender", guarded<render_batch>),
      method("pixelsDecode", guarded<decode_one>),
      method("pixelsFinish", guarded<finish_batch>),
      method("pixelsNormalQuantile", guarded<normal_quantiles>),
      method("pixelsNoise", guarded<noise>),
      method("pixelsRotation", guarded<rotation>),
      method("pixelsDecodeWindow", guarded<decode_window>),
  };
  napi_define_properties(env, exports, sizeof properties / sizeof properties[0], properties);
}
