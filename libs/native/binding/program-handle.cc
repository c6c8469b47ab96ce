#include "binding/program-handle.h"

#include <utility>

namespace dropstream {

namespace {

constexpr napi_type_tag kTag = {0x64726f7073747265ull, 0x616d2d70726f6772ull};
constexpr size_t kMostCalls = 64;

void free_program(napi_env env, ProgramObject* object) {
  if (!object->program) return;
  object->stop();
  int64_t adjusted;
  napi_adjust_external_memory(env, -(int64_t)object->program->memory_bytes(), &adjusted);
  object->program.reset();
  if (object->done) napi_release_threadsafe_function(std::exchange(object->done, nullptr), napi_tsfn_abort);
}

napi_value step_output(napi_env env, const Call& call) {
  const StepResult& r = call.result;
  napi_value output, seconds;
  require_ok(env, napi_create_object(env, &output));
  set_property(env, output, "losses", make_floats(env, r.losses.data(), r.losses.size()));
  set_property(env, output, "logits", make_floats(env, r.logits.data(), r.logits.size()));
  if (!call.is_step) return output;
  set_property(env, output, "gradNorm", make_number(env, r.grad_norm));
  require_ok(env, napi_create_object(env, &seconds));
  set_property(env, seconds, "forward", make_number(env, r.forward_seconds));
  set_property(env, seconds, "backward", make_number(env, r.backward_seconds));
  set_property(env, seconds, "optimizer", make_number(env, r.optimizer_seconds));
  set_property(env, output, "seconds", seconds);
  return output;
}

// On the JavaScript thread; env is null where the environment ends.
void settle(napi_env env, napi_value, void*, void* data) {
  std::unique_ptr<Call> call(static_cast<Call*>(data));
  if (!env) return;
  ProgramObject* object = call->object;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  guarded(env, [&]() -> napi_value {
    std::string error = call->error;
    napi_value value = nullptr;
    if (error.empty()) {
      try {
        value = step_output(env, *call);
      } catch (const std::exception& problem) {
        error = problem.what();
      }
    }
    if (--object->pending == 0) {
      if (object->done) napi_unref_threadsafe_function(env, object->done);
      if (object->disposing) free_program(env, object);
    }
    for (napi_ref ref : call->held) napi_delete_reference(env, ref);
    if (error.empty())
      require_ok(env, napi_resolve_deferred(env, call->deferred, value));
    else
      require_ok(env, napi_reject_deferred(env, call->deferred, make_error(env, error)));
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
  int64_t adjusted;
  napi_adjust_external_memory(env, (int64_t)raw->program->memory_bytes(), &adjusted);
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

napi_value enqueue(napi_env env, napi_value handle, std::unique_ptr<Call> call, std::vector<napi_value> held) {
  ProgramObject* object = call->object;
  if (object->pending >= kMostCalls) throw std::runtime_error("too many calls are queued on this program");
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
    try {
      if (object->disposing) throw std::runtime_error("the program was disposed");
      raw->body(raw->result);
    } catch (const Cancelled&) {
      raw->error = "the program was disposed";
    } catch (const std::exception& error) {
      raw->error = error.what();
    }
    // Refused only while the environment ends: then nobody waits for the promise.
    if (napi_call_threadsafe_function(object->done, raw, napi_tsfn_blocking) != napi_ok) delete raw;
  });
  return promise;
}

ProgramObject* idle_object(napi_env env, napi_value handle) {
  ProgramObject* object = live_object(env, handle);
  if (object->pending) throw std::runtime_error("a call runs on this program: read and write after it settled");
  return object;
}

void dispose_object(napi_env env, ProgramObject* object) {
  object->disposing = true;
  if (!object->pending) free_program(env, object);
}

}  // namespace dropstream
