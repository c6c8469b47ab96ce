// The Node-API edge of the pixel library. Exports:
//   pixelsInfo() → { jpeg, threads }
//   pixelsRender(sources: Uint8Array[], palettes: (Uint8Array | null)[], records: Float64Array, size, out, threads, cancel) → Promise<(string | null)[]>
//   pixelsDecode(source: Uint8Array, palette: Uint8Array | null, record: Float64Array, out) → Promise<(string | null)[]>,
//     the record's flip and operations applied at the source's size
//   pixelsFinish(pixels, count, size, tables: Float32Array, records: Float64Array, out: Float32Array | Uint16Array, threads) → Promise<(string | null)[]>
//   pixelsNormalQuantile(p: Float64Array) → Float64Array, pixelsNoise(k0, k1, box, sample, first, count) → Float32Array, pixelsRotation(degrees) → [cos, sin]: for tests
// Wrong arguments throw TypeError at once. The promise is settled on the calling thread; typed arrays are kept alive until then
// and must not be transferred meanwhile. `cancel[0] != 0` skips jobs that have not started; their reason is "cancelled".
#include <node_api.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "finish.h"
#include "jpeg.h"
#include "noise.h"
#include "plan-record.h"
#include "pool.h"
#include "render.h"
#include "threads/cores.h"
#include "trigonometry.h"

namespace dropstream::pixels {
namespace {

struct ArgumentError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void check(napi_status status, const char* what) {
  if (status != napi_ok) throw ArgumentError(what);
}

// One pool for the process, as many threads as the engine would take (cgroup, DROPSTREAM_THREADS), alive while any environment is.
std::mutex pool_mutex;
std::weak_ptr<Pool> shared_pool;

std::shared_ptr<Pool> acquire_pool() {
  const std::lock_guard lock(pool_mutex);
  std::shared_ptr<Pool> pool = shared_pool.lock();
  if (!pool) shared_pool = pool = std::make_shared<Pool>(compute_threads());
  return pool;
}

class Call;

// What belongs to one environment (the main thread or a worker): its way back from pool threads, and its calls in flight.
struct Environment {
  napi_env env;
  napi_threadsafe_function settle = nullptr;
  std::shared_ptr<Pool> pool = acquire_pool();
  size_t in_flight = 0;  // touched on the environment's thread only
  std::atomic<bool> closing{false};
};

// One asynchronous call: jobs, their outcomes, and the promise.
class Call : public Batch {
 public:
  Call(Environment& environment, size_t jobs, size_t threads)
      : Batch(jobs, std::max<size_t>(1, std::min(threads, environment.pool->size())), &environment), environment_(environment), reasons_(jobs) {}

  void run(size_t job) noexcept final {
    try {
      if (environment_.closing.load(std::memory_order_relaxed) || (cancel_ != nullptr && *cancel_ != 0)) {
        blank(job);
        reasons_[job] = "cancelled";
        return;
      }
      work(job);
    } catch (const std::exception& error) {
      fail(job, error.what());
    } catch (...) {
      fail(job, "unknown failure");
    }
  }

  void finished() noexcept final { napi_call_threadsafe_function(environment_.settle, this, napi_tsfn_nonblocking); }

  // Starts the call. From here on it owns itself, until settle(). Returns the promise.
  static napi_value start(Environment& environment, std::unique_ptr<Call> call, napi_value keep_alive);
  // On the environment's thread, or with env == nullptr where that is going away.
  void settle(napi_env env);

 protected:
  virtual void work(size_t job) = 0;
  virtual void blank(size_t job) noexcept = 0;  // zeroes the job's output
  const volatile uint8_t* cancel_ = nullptr;

 private:
  void fail(size_t job, const char* reason) noexcept {
    blank(job);
    try {
      reasons_[job] = *reason == '\0' ? "unknown failure" : reason;
    } catch (...) {
      reasons_[job] = "?";  // short strings need no memory
    }
  }

  Environment& environment_;
  std::vector<std::string> reasons_;
  napi_deferred deferred_ = nullptr;
  napi_ref keep_alive_ = nullptr;
  std::shared_ptr<Call> self_;
};

napi_value Call::start(Environment& environment, std::unique_ptr<Call> owned, napi_value keep_alive) {
  const napi_env env = environment.env;
  const std::shared_ptr<Call> call(std::move(owned));
  napi_value promise;
  check(napi_create_reference(env, keep_alive, 1, &call->keep_alive_), "no reference to the arguments");
  if (napi_create_promise(env, &call->deferred_, &promise) != napi_ok) {
    napi_delete_reference(env, call->keep_alive_);
    throw ArgumentError("no promise");
  }
  if (environment.in_flight++ == 0) napi_ref_threadsafe_function(env, environment.settle);
  call->self_ = call;
  if (call->reasons_.empty()) {
    call->settle(env);
  } else {
    try {
      environment.pool->submit(call);
    } catch (const std::exception&) {  // no thread to be had
      for (std::string& reason : call->reasons_) reason = "no thread";
      call->settle(env);
    }
  }
  return promise;
}

void Call::settle(napi_env env) {
  const std::shared_ptr<Call> last = std::move(self_);
  if (env == nullptr) return;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  napi_value result;
  napi_create_array_with_length(env, reasons_.size(), &result);
  for (size_t i = 0; i < reasons_.size(); i++) {
    napi_value reason;
    if (reasons_[i].empty()) {
      napi_get_null(env, &reason);
    } else {
      napi_create_string_utf8(env, reasons_[i].data(), reasons_[i].size(), &reason);
    }
    napi_set_element(env, result, static_cast<uint32_t>(i), reason);
  }
  napi_resolve_deferred(env, deferred_, result);
  napi_delete_reference(env, keep_alive_);
  if (--environment_.in_flight == 0) napi_unref_threadsafe_function(env, environment_.settle);
  napi_close_handle_scope(env, scope);
}

RenderScratch& scratch_of_thread() {
  thread_local RenderScratch scratch;
  return scratch;
}

class RenderCall final : public Call {
 public:
  RenderCall(Environment& environment, size_t threads, std::vector<RenderRecord> jobs, int size, uint8_t* out, const uint8_t* cancel)
      : Call(environment, jobs.size(), threads), jobs_(std::move(jobs)), size_(size), out_(out) {
    cancel_ = cancel;
  }

 private:
  size_t bytes() const { return 3 * static_cast<size_t>(size_) * static_cast<size_t>(size_); }
  void work(size_t job) override {
    render(jobs_[job].source, jobs_[job].plan, size_, scratch_of_thread(), out_ + job * bytes());
    scratch_of_thread().trim();
  }
  void blank(size_t job) noexcept override { std::memset(out_ + job * bytes(), 0, bytes()); }

  const std::vector<RenderRecord> jobs_;
  const int size_;
  uint8_t* const out_;
};

class DecodeCall final : public Call {
 public:
  DecodeCall(Environment& environment, RenderRecord job, uint8_t* out, size_t out_size)
      : Call(environment, 1, 1), job_(std::move(job)), out_(out), out_size_(out_size) {}

 private:
  void work(size_t) override {
    decode_source(job_.source, job_.plan, scratch_of_thread(), out_, out_size_);
    scratch_of_thread().trim();
  }
  void blank(size_t) noexcept override { std::memset(out_, 0, out_size_); }

  const RenderRecord job_;
  uint8_t* const out_;
  const size_t out_size_;
};

class FinishCall final : public Call {
 public:
  FinishCall(Environment& environment, size_t threads, FinishBatch batch, std::vector<float> tables, void* out, bool bfloat16)
      : Call(environment, static_cast<size_t>(batch.count), threads), batch_(std::move(batch)), tables_(std::move(tables)), out_(out),
        bfloat16_(bfloat16) {
    batch_.tables = tables_.data();
  }

 private:
  size_t values() const { return 3 * static_cast<size_t>(batch_.size) * static_cast<size_t>(batch_.size); }
  void work(size_t job) override {
    thread_local FinishScratch scratch;
    if (bfloat16_) {
      finish_bfloat16(batch_, static_cast<int>(job), scratch, static_cast<uint16_t*>(out_) + job * values());
    } else {
      finish_float32(batch_, static_cast<int>(job), scratch, static_cast<float*>(out_) + job * values());
    }
  }
  void blank(size_t job) noexcept override {
    const size_t width = bfloat16_ ? 2 : 4;
    std::memset(static_cast<uint8_t*>(out_) + job * values() * width, 0, values() * width);
  }

  FinishBatch batch_;
  const std::vector<float> tables_;
  void* const out_;
  const bool bfloat16_;
};

// ---- arguments ----

template <class T>
struct Span {
  T* data = nullptr;
  size_t size = 0;
};

template <class T>
Span<T> typed_array(napi_env env, napi_value value, napi_typedarray_type expected, const char* what) {
  bool is = false;
  napi_typedarray_type type;
  void* data = nullptr;
  size_t length = 0;
  if (napi_is_typedarray(env, value, &is) != napi_ok || !is ||
      napi_get_typedarray_info(env, value, &type, &length, &data, nullptr, nullptr) != napi_ok || type != expected) {
    throw ArgumentError(what);
  }
  return {static_cast<T*>(data), length};
}

Bytes bytes_argument(napi_env env, napi_value value, const char* what) {
  const auto span = typed_array<uint8_t>(env, value, napi_uint8_array, what);
  return {span.data, span.size};
}

Bytes optional_bytes(napi_env env, napi_value value, const char* what) {
  napi_valuetype type;
  check(napi_typeof(env, value, &type), what);
  return type == napi_null ? Bytes{} : bytes_argument(env, value, what);
}

uint32_t word_argument(napi_env env, napi_value value, double high, const char* what) {
  double number;
  if (napi_get_value_double(env, value, &number) != napi_ok || !(number >= 0 && number <= high) || number != static_cast<uint32_t>(number)) {
    throw ArgumentError(what);
  }
  return static_cast<uint32_t>(number);
}

std::vector<napi_value> elements(napi_env env, napi_value array, const char* what) {
  bool is = false;
  uint32_t length = 0;
  if (napi_is_array(env, array, &is) != napi_ok || !is || napi_get_array_length(env, array, &length) != napi_ok) throw ArgumentError(what);
  std::vector<napi_value> values(length);
  for (uint32_t i = 0; i < length; i++) check(napi_get_element(env, array, i, &values[i]), what);
  return values;
}

constexpr size_t kMaxArguments = 7;

struct Arguments {
  napi_value value[kMaxArguments];
  Environment* environment;
  napi_value kept;  // a JavaScript array of them all
};

Arguments arguments_of(napi_env env, napi_callback_info info, size_t expected) {
  Arguments arguments{};
  size_t count = kMaxArguments;
  void* data;
  check(napi_get_cb_info(env, info, &count, arguments.value, nullptr, &data), "no arguments");
  if (count != expected) throw ArgumentError("wrong number of arguments");
  arguments.environment = static_cast<Environment*>(data);
  check(napi_create_array_with_length(env, expected, &arguments.kept), "no array");
  for (uint32_t i = 0; i < expected; i++) check(napi_set_element(env, arguments.kept, i, arguments.value[i]), "no array");
  return arguments;
}

using Body = napi_value (*)(napi_env, napi_callback_info);

// Exceptions end here.
template <Body body>
napi_value guarded(napi_env env, napi_callback_info info) {
  try {
    return body(env, info);
  } catch (const std::exception& error) {
    bool pending = false;
    napi_is_exception_pending(env, &pending);
    if (!pending) napi_throw_type_error(env, nullptr, error.what());
  }
  return nullptr;
}

// ---- exports ----

napi_value info(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 0);
  napi_value object, jpeg, threads;
  check(napi_create_object(env, &object), "no object");
  check(napi_create_string_utf8(env, jpeg_library(), NAPI_AUTO_LENGTH, &jpeg), "no string");
  check(napi_create_double(env, static_cast<double>(arguments.environment->pool->size()), &threads), "no number");
  check(napi_set_named_property(env, object, "jpeg", jpeg), "no property");
  check(napi_set_named_property(env, object, "threads", threads), "no property");
  return object;
}

napi_value render_batch(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 7);
  const auto sources = elements(env, arguments.value[0], "sources: must be an array");
  const auto palettes = elements(env, arguments.value[1], "palettes: must be an array");
  const auto records = typed_array<double>(env, arguments.value[2], napi_float64_array, "records: must be a Float64Array");
  const auto size = static_cast<int>(word_argument(env, arguments.value[3], kMaxOutputSide, "size: must be 1 to 4096"));
  const auto out = typed_array<uint8_t>(env, arguments.value[4], napi_uint8_array, "out: must be a Uint8Array");
  const size_t threads = word_argument(env, arguments.value[5], 4096, "threads: must be 1 to 4096");
  const Bytes cancel = bytes_argument(env, arguments.value[6], "cancel: must be a Uint8Array");
  if (size < 1) throw ArgumentError("size: must be 1 to 4096");
  if (palettes.size() != sources.size()) throw ArgumentError("palettes: one for each source");
  if (cancel.size < 1) throw ArgumentError("cancel: must hold a byte");
  if (out.size != sources.size() * 3 * static_cast<size_t>(size) * static_cast<size_t>(size)) {
    throw ArgumentError("out: must hold 3 x size x size bytes for each source");
  }
  RecordReader reader(records.data, records.size);
  std::vector<RenderRecord> jobs;
  for (size_t i = 0; i < sources.size(); i++) {
    jobs.push_back(read_render_record(reader));
    jobs.back().source.bytes = bytes_argument(env, sources[i], "sources: must hold Uint8Arrays");
    jobs.back().source.palette = optional_bytes(env, palettes[i], "palettes: must hold Uint8Arrays or null");
  }
  if (!reader.at_end()) throw ArgumentError("records: longer than the sources");
  auto call = std::make_unique<RenderCall>(*arguments.environment, threads, std::move(jobs), size, out.data, cancel.data);
  return Call::start(*arguments.environment, std::move(call), arguments.kept);
}

napi_value decode_one(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 4);
  const auto record = typed_array<double>(env, arguments.value[2], napi_float64_array, "record: must be a Float64Array");
  const auto out = typed_array<uint8_t>(env, arguments.value[3], napi_uint8_array, "out: must be a Uint8Array");
  RecordReader reader(record.data, record.size);
  RenderRecord job = read_render_record(reader);
  job.source.bytes = bytes_argument(env, arguments.value[0], "source: must be a Uint8Array");
  job.source.palette = optional_bytes(env, arguments.value[1], "palette: must be a Uint8Array or null");
  auto call = std::make_unique<DecodeCall>(*arguments.environment, std::move(job), out.data, out.size);
  return Call::start(*arguments.environment, std::move(call), arguments.kept);
}

napi_value finish_batch(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 7);
  FinishBatch batch;
  const Bytes pixels = bytes_argument(env, arguments.value[0], "pixels: must be a Uint8Array");
  batch.pixels = pixels.data;
  batch.count = static_cast<int>(word_argument(env, arguments.value[1], 1 << 24, "n: must be a number of samples"));
  batch.size = static_cast<int>(word_argument(env, arguments.value[2], kMaxOutputSide, "size: must be 1 to 4096"));
  const auto tables = typed_array<float>(env, arguments.value[3], napi_float32_array, "tables: must be a Float32Array");
  const auto records = typed_array<double>(env, arguments.value[4], napi_float64_array, "records: must be a Float64Array");
  const size_t threads = word_argument(env, arguments.value[6], 4096, "threads: must be 1 to 4096");
  const size_t values = static_cast<size_t>(batch.count) * 3 * static_cast<size_t>(batch.size) * static_cast<size_t>(batch.size);
  if (batch.size < 1) throw ArgumentError("size: must be 1 to 4096");
  if (pixels.size != values) throw ArgumentError("pixels: must hold n x 3 x size x size bytes");
  if (tables.size != 768) throw ArgumentError("tables: must hold 3 x 256 values");
  napi_typedarray_type type;
  void* out = nullptr;
  size_t length = 0;
  bool is = false;
  if (napi_is_typedarray(env, arguments.value[5], &is) != napi_ok || !is ||
      napi_get_typedarray_info(env, arguments.value[5], &type, &length, &out, nullptr, nullptr) != napi_ok ||
      (type != napi_float32_array && type != napi_uint16_array)) {
    throw ArgumentError("out: must be a Float32Array or a Uint16Array");
  }
  if (length != values) throw ArgumentError("out: must hold n x 3 x size x size values");
  RecordReader reader(records.data, records.size);
  for (int i = 0; i < batch.count; i++) batch.samples.push_back(read_finish_record(reader));
  if (!reader.at_end()) throw ArgumentError("records: longer than n");
  check_finish(batch);
  auto call = std::make_unique<FinishCall>(*arguments.environment, threads, std::move(batch), std::vector<float>(tables.data, tables.data + 768),
                                           out, type == napi_uint16_array);
  return Call::start(*arguments.environment, std::move(call), arguments.kept);
}

napi_value normal_quantiles(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 1);
  const auto p = typed_array<double>(env, arguments.value[0], napi_float64_array, "p: must be a Float64Array");
  napi_value buffer, array;
  void* data;
  check(napi_create_arraybuffer(env, 8 * p.size, &data, &buffer), "no memory");
  for (size_t i = 0; i < p.size; i++) static_cast<double*>(data)[i] = normal_quantile(p.data[i]);
  check(napi_create_typedarray(env, napi_float64_array, p.size, buffer, 0, &array), "no array");
  return array;
}

napi_value noise(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 6);
  uint32_t words[5];
  for (size_t i = 0; i < 5; i++) words[i] = word_argument(env, arguments.value[i], 4294967295.0, "must be a 32-bit word");
  const uint32_t count = word_argument(env, arguments.value[5], 1 << 24, "count: too large");
  napi_value buffer, array;
  void* data;
  check(napi_create_arraybuffer(env, size_t{4} * count, &data, &buffer), "no memory");
  const NoiseStream stream{{words[0], words[1]}, words[2], words[3]};
  stream.fill(words[4], static_cast<int>(count), static_cast<float*>(data));
  check(napi_create_typedarray(env, napi_float32_array, count, buffer, 0, &array), "no array");
  return array;
}

napi_value rotation(napi_env env, napi_callback_info callback) {
  const Arguments arguments = arguments_of(env, callback, 1);
  double degrees;
  check(napi_get_value_double(env, arguments.value[0], &degrees), "degrees: must be a number");
  const Rotation turned = rotation_of(degrees);
  napi_value pair, cosine, sine;
  check(napi_create_array_with_length(env, 2, &pair), "no array");
  check(napi_create_double(env, turned.cosine, &cosine), "no number");
  check(napi_create_double(env, turned.sine, &sine), "no number");
  check(napi_set_element(env, pair, 0, cosine), "no array");
  check(napi_set_element(env, pair, 1, sine), "no array");
  return pair;
}

void settle_on_thread(napi_env env, napi_value, void*, void* data) { static_cast<Call*>(data)->settle(env); }

// Runs before the environment frees the typed arrays that jobs read and write.
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
  auto* environment = new Environment{env};
  napi_value name;
  napi_create_string_utf8(env, "dropstream.pixels", NAPI_AUTO_LENGTH, &name);
  // The finalizer runs last, after queued calls were handed back with env == nullptr.
  const auto destroy = [](napi_env, void* data, void*) { delete static_cast<Environment*>(data); };
  if (napi_create_threadsafe_function(env, nullptr, nullptr, name, 0, 1, environment, destroy, nullptr, settle_on_thread,
                                      &environment->settle) != napi_ok) {
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
  };
  napi_define_properties(env, exports, sizeof properties / sizeof properties[0], properties);
}
