#include "binding/program-handle.h"

#include <algorithm>
#include <utility>

#include "binding/free-elsewhere.h"

namespace dropstream {

namespace {

constexpr napi_type_tag kTag = {0x64726f7073747265ull, 0x616d2d70726f6772ull};
constexpr size_t kMaxCalls = 64;

// Tells the garbage collector how much memory a handle holds by now: enough that handles nobody disposed of are collected in time, but no more. Every
// 64 MiB that are reported bring a full collection nearer; gigabytes force one at once, which holds up the event loop for tens of milliseconds.
constexpr size_t kMostReported = 16u << 20;

void report_memory(napi_env env, ProgramObject* object) {
  const size_t bytes = object->program ? std::min(object->program->memory_bytes(), kMostReported) : 0;
  int64_t adjusted;
  if (bytes != object->reported_bytes) napi_adjust_external_memory(env, (int64_t)bytes - (int64_t)object->reported_bytes, &adjusted);
  object->reported_bytes = bytes;
}

void free_program(napi_env env, ProgramObject* object) {
  if (!object->program) return;
  object->stop();
  free_elsewhere(std::move(object->program));
  report_memory(env, object);
  if (object->done) napi_release_threadsafe_function(std::exchange(object->done, nullptr), napi_tsfn_abort);
}

napi_value error_of(napi_env env, Failure failure, const std::string& message) {
  if (failure == Failure::cancelled) {
    const napi_value error = make_error(env, message);
    set_property(env, error, "code", make_text(env, "ERR_CANCELLED"));
    return error;
  }
  return failure == Failure::range ? make_range_error(env, message) : make_error(env, message);
}

// Runs on the JavaScript thread. env is null if the environment is ending.
void settle(napi_env env, napi_value, void*, void* data) {
  std::unique_ptr<Call> call(static_cast<Call*>(data));
  if (!env) return;
  ProgramObject* object = call->object;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  guarded(env, [&]() -> napi_value {
    napi_value value = nullptr;
    if (call->failure == Failure::none) {
      try {
        if (call->output)
          value = call->output(env);
        else
          require_ok(env, napi_get_undefined(env, &value));
      } catch (const std::exception& problem) {
        call->failure = Failure::other;
        call->error = problem.what();
      }
    }
    report_memory(env, object);
    if (--object->pending == 0) {
      if (object->done) napi_unref_threadsafe_function(env, object->done);
      if (object->disposing) free_program(env, object);
    }
    for (napi_ref ref : call->held) napi_delete_reference(env, ref);
    if (call->failure == Failure::none)
      require_ok(env, napi_resolve_deferred(env, call->deferred, value));
    else
      require_ok(env, napi_reject_deferred(env, call->deferred, error_of(env, call->failure, call->error)));
    return nullptr;
  });
  napi_close_handle_scope(env, scope);
}

void collected(napi_env env, void* data, void*) {
  auto* object = static_cast<ProgramObject*>(data);
  free_program(env, object);
  object->disown();
}

void closed(napi_env, void*, void* context) {
  auto* object = static_cast<ProgramObject*>(context);
  object->stop();
  object->done = nullptr;
  object->disown();
}

}  // namespace

napi_value make_handle(napi_env env, std::unique_ptr<Program> program) {
  auto object = std::make_unique<ProgramObject>();
  object->program = std::move(program);
  object->thread = std::make_unique<EngineThread>();
  napi_value handle;
  require_ok(env, napi_create_object(env, &handle));
  require_ok(env, napi_type_tag_object(env, handle, &kTag));
  require_ok(env, napi_create_threadsafe_function(env, nullptr, nullptr, make_text(env, "dropstream program"), 0, 1, nullptr, closed, object.get(), settle,
                                                  &object->done));
  ProgramObject* raw = object.release();
  napi_unref_threadsafe_function(env, raw->done);
  report_memory(env, raw);
  if (napi_wrap(env, handle, raw, collected, nullptr, nullptr) != napi_ok) {
    collected(env, raw, nullptr);
    throw std::runtime_error("Node-API could not wrap the program");
  }
  return handle;
}

ProgramObject* object_of(napi_env env, napi_value handle) {
  bool tagged = false;
  if (napi_check_object_type_tag(env, handle, &kTag, &tagged) != napi_ok || !tagged) throw BadValue("program must be a handle from createProgram");
  void* data;
  require_ok(env, napi_unwrap(env, handle, &data));
  return static_cast<ProgramObject*>(data);
}

ProgramObject* live_object(napi_env env, napi_value handle) {
  ProgramObject* object = object_of(env, handle);
  if (!object->program || object->disposing) throw std::runtime_error("the program was disposed");
  return object;
}

napi_value enqueue(napi_env env, napi_value handle, std::vector<napi_value> held, std::function<void()> body, std::function<napi_value(napi_env)> output) {
  ProgramObject* object = live_object(env, handle);
  if (object->pending >= kMaxCalls) throw std::runtime_error("too many calls are queued on this program");
  auto call = std::make_unique<Call>();
  call->object = object;
  call->body = std::move(body);
  call->output = std::move(output);
  held.push_back(handle);
  for (napi_value value : held) {
    napi_ref ref;
    require_ok(env, napi_create_reference(env, value, 1, &ref));
    call->held.push_back(ref);
  }
  napi_value promise;
  require_ok(env, napi_create_promise(env, &call->deferred, &promise));
  if (object->pending++ == 0) require_ok(env, napi_ref_threadsafe_function(env, object->done));
  object->thread->post([object, raw = call.release()] {
    const auto fail = [raw](Failure failure, const char* message) {
      raw->failure = failure;
      raw->error = message;
    };
    try {
      if (object->disposing) throw std::runtime_error("the program was disposed");
      raw->body();
    } catch (const Cancelled&) {
      fail(Failure::cancelled, "the call was cancelled");
    } catch (const std::invalid_argument& error) {
      fail(Failure::range, error.what());
    } catch (const std::bad_alloc&) {
      fail(Failure::other, "not enough memory for the program");
    } catch (const std::exception& error) {
      fail(Failure::other, error.what());
    }
    // This fails only while the environment is ending, when nobody waits for the promise.
    if (napi_call_threadsafe_function(object->done, raw, napi_tsfn_blocking) != napi_ok) delete raw;
  });
  return promise;
}

ProgramObject* idle_object(napi_env env, napi_value handle) {
  ProgramObject* object = live_object(env, handle);
  if (object->pending) throw std::runtime_error("a call runs on this program: wait until it has settled");
  return object;
}

void dispose_object(napi_env env, ProgramObject* object) {
  object->disposing = true;
  if (!object->pending) free_program(env, object);
}

}  // namespace dropstream
