#include "binding/program-functions.h"

#include <cstdlib>

#include "binding/program-handle.h"
#include "binding/read-spec.h"
#include "binding/read-step.h"
#include "dispatch.h"

namespace dropstream {

namespace {

struct Arguments {
  napi_value values[6];
  Arguments(napi_env env, napi_callback_info info) {
    size_t count = 6;
    require_ok(env, napi_get_cb_info(env, info, &count, values, nullptr, nullptr));
  }
};

napi_value create(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    const ProgramSpec spec = read_spec(Field(env, args.values[0], "spec"));
    return make_handle(env, std::make_unique<Program>(spec, choose_kernels(getenv("DROPSTREAM_ISA")), Pool::shared()));
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
    dispose_object(env, object_of(env, args.values[0]));
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

napi_value profile(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    idle_object(env, args.values[0])->program->start_profile(Field(env, args.values[1], "calls").whole(1 << 24));
    return nullptr;
  });
}

// RecordedSlices of libs/native/profiler.ts.
napi_value take_profile(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    Profile& profile = idle_object(env, args.values[0])->program->profile();
    std::vector<double> slices, jobs;
    for (const Profile::Slice& s : profile.slices()) slices.insert(slices.end(), {(double)s.part, (double)s.index, (double)s.samples, s.begin, s.end});
    for (size_t thread = 0; thread < profile.jobs().jobs().size(); thread++)
      for (const JobLog::Job& job : profile.jobs().jobs()[thread]) jobs.insert(jobs.end(), {(double)thread, job.begin, job.end});
    napi_value output;
    require_ok(env, napi_create_object(env, &output));
    set_property(env, output, "slices", make_doubles(env, slices.data(), slices.size()));
    set_property(env, output, "jobs", make_doubles(env, jobs.data(), jobs.size()));
    set_property(env, output, "lost", make_number(env, (double)profile.lost()));
    profile.clear();
    return output;
  });
}

}  // namespace

void register_programs(napi_env env, napi_value exports) {
  static const struct {
    const char* name;
    napi_callback callback;
  } kFunctions[] = {{"createProgram", create}, {"programStep", step},       {"programEvaluate", evaluate}, {"programRead", read},
                    {"programWrite", write},   {"programDispose", dispose}, {"programMemory", memory},
                    {"programProfile", profile}, {"programTakeProfile", take_profile}};
  for (const auto& entry : kFunctions) {
    napi_value function;
    require_ok(env, napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.callback, nullptr, &function));
    set_property(env, exports, entry.name, function);
  }
}

}  // namespace dropstream
