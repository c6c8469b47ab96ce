// A program as a JavaScript handle. Its calls run on its engine thread and settle promises on the JavaScript thread.
//
// Two owners, both on the JavaScript thread: the handle (until collected) and the thread-safe function that completions travel through
// (until Node closes it, which at the end of an environment may come first). Whoever comes first stops the thread; the last one deletes.
#include "binding/program-object.h"

#include <cstdlib>
#include <memory>
#include <utility>

#include "binding/engine-thread.h"
#include "binding/read-spec.h"
#include "binding/read-step.h"
#include "dispatch.h"

namespace dropstream {

namespace {

constexpr napi_type_tag kTag = {0x64726f7073747265ull, 0x616d2d70726f6772ull};
constexpr size_t kMostCalls = 64;

struct ProgramObject {
  std::unique_ptr<Program> program;
  std::unique_ptr<EngineThread> thread;
  napi_threadsafe_function done = nullptr;
  std::atomic<bool> disposing{false};
  size_t pending = 0;
  int owners = 2;

  void stop() {
    if (program) program->cancel();
    thread.reset();
  }
  void disown() {
    if (--owners == 0) delete this;
  }
};

struct Call {
  ProgramObject* object;
  napi_deferred deferred = nullptr;
  std::vector<napi_ref> held;  // the handle and the arrays read by the call
  std::function<void(StepResult&)> body;
  StepResult result;
  bool is_step = false;
  std::string error;
};

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

struct Arguments {
  napi_value values[6];
  Arguments(napi_env env, napi_callback_info info) {
    size_t count = 6;
    require_ok(env, napi_get_cb_info(env, info, &count, values, nullptr, nullptr));
  }
};

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

napi_value create(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    auto object = std::make_unique<ProgramObject>();
    object->program = std::make_unique<Program>(read_spec(Field(env, args.values[0], "spec")), choose_kernels(getenv("DROPSTREAM_ISA")), Pool::shared());
    object->thread = std::make_unique<EngineThread>();
    napi_value handle;
    require_ok(env, napi_create_object(env, &handle));
    require_ok(env, napi_type_tag_object(env, handle, &kTag));
    require_ok(env, napi_create_threadsafe_function(env, nullptr, nullptr, make_text(env, "dropstream program"), 0, 1, nullptr, closed, object.get(), settle,
                                                    &object->done));
    ProgramObject* raw = object.release();
    napi_unref_threadsafe_function(env, raw->done);
    if (napi_wrap(env, handle, raw, collected, nullptr, nullptr) != napi_ok) {
      collected(env, raw, nullptr);
      throw std::runtime_error("Node-API could not wrap the program");
    }
    int64_t adjusted;
    napi_adjust_external_memory(env, (int64_t)raw->program->memory_bytes(), &adjusted);
    return handle;
  });
}

napi_value step(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    ProgramObject* object = live_object(env, args.values[0]);
    std::vector<napi_value> held;
    auto request = std::make_shared<StepRequest>(read_step({env, args.values[1], "micro"}, {env, args.values[2], "random"}, {env, args.values[3], "lossScale"},
                                                           {env, args.values[4], "optimizer"}, object->program->spec(), held));
    object->program->check(*request);
    auto call = std::make_unique<Call>();
    call->object = object;
    call->is_step = true;
    call->body = [program = object->program.get(), request](StepResult& result) { program->step(*request, result); };
    return enqueue(env, args.values[0], std::move(call), std::move(held));
  });
}

napi_value evaluate(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    ProgramObject* object = live_object(env, args.values[0]);
    std::vector<napi_value> held;
    const MicroBatch batch = read_micro_batch({env, args.values[1], "batch"}, object->program->spec(), held);
    object->program->check_evaluation(batch);
    const Field state(env, args.values[2], "state");
    const std::string name = state.text();
    if (name != "weights" && name != "ema") state.refuse("'weights' or 'ema'");
    auto call = std::make_unique<Call>();
    call->object = object;
    call->body = [program = object->program.get(), batch, ema = name == "ema"](StepResult& result) { program->evaluate(batch, ema, result); };
    return enqueue(env, args.values[0], std::move(call), std::move(held));
  });
}

State read_state(const Field& field) {
  static const char* const kNames[] = {"weights", "gradients", "first_moment", "second_moment", "ema"};
  const std::string name = field.text();
  for (int i = 0; i < 5; i++)
    if (name == kNames[i]) return (State)i;
  field.refuse("weights, gradients, first_moment, second_moment or ema");
}

ProgramObject* idle_object(napi_env env, napi_value handle) {
  ProgramObject* object = live_object(env, handle);
  if (object->pending) throw std::runtime_error("a call runs on this program: read and write after it settled");
  return object;
}

napi_value read(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    const Program& program = *idle_object(env, args.values[0])->program;
    const State state = read_state({env, args.values[1], "state"});
    const size_t parameter = Field(env, args.values[2], "parameter").whole(program.spec().parameters.size() - 1);
    return make_floats(env, program.read(state, parameter), program.parameter_size(parameter));
  });
}

napi_value write(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    Program& program = *idle_object(env, args.values[0])->program;
    const State state = read_state({env, args.values[1], "state"});
    const size_t parameter = Field(env, args.values[2], "parameter").whole(program.spec().parameters.size() - 1);
    const Field field(env, args.values[3], "data");
    size_t count;
    const float* data = field.floats(&count);
    if (count != program.parameter_size(parameter))
      field.refuse("of " + std::to_string(program.parameter_size(parameter)) + " elements, has " + std::to_string(count));
    program.write(state, parameter, data);
    return nullptr;
  });
}

napi_value dispose(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    ProgramObject* object = object_of(env, args.values[0]);
    object->disposing = true;
    if (!object->pending) free_program(env, object);
    return nullptr;
  });
}

napi_value memory(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    const ProgramObject* object = object_of(env, args.values[0]);
    return make_number(env, object->program ? (double)object->program->memory_bytes() : 0);
  });
}

}  // namespace

void register_programs(napi_env env, napi_value exports) {
  static const struct {
    const char* name;
    napi_callback callback;
  } kFunctions[] = {{"createProgram", create}, {"programStep", step},       {"programEvaluate", evaluate}, {"programRead", read},
                    {"programWrite", write},   {"programDispose", dispose}, {"programMemory", memory}};
  for (const auto& entry : kFunctions) {
    napi_value function;
    require_ok(env, napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.callback, nullptr, &function));
    set_property(env, exports, entry.name, function);
  }
}

}  // namespace dropstream
