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

// The result of a leaf or an evaluation: losses and logits.
napi_value leaf_output(napi_env env, const LeafResult& result) {
  napi_value output;
  require_ok(env, napi_create_object(env, &output));
  set_property(env, output, "losses", make_floats(env, result.losses.data(), result.losses.size()));
  set_property(env, output, "logits", make_floats(env, result.logits.data(), result.logits.size()));
  return output;
}

napi_value create(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    const ProgramSpec spec = read_spec(Field(env, args.values[0], "spec"));
    return make_handle(env, std::make_unique<Program>(spec, choose_kernels(getenv("DROPSTREAM_ISA")), Pool::shared()));
  });
}

napi_value accumulate(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    Program* program = live_object(env, args.values[0])->program.get();
    std::vector<napi_value> held;
    const auto request = std::make_shared<LeafRequest>(read_leaf({env, args.values[1], "leaf"}, program->spec(), held));
    program->check(*request);
    const auto result = std::make_shared<LeafResult>();
    return enqueue(
        env, args.values[0], std::move(held), [=, ticket = program->ticket()] { program->accumulate(*request, *result, ticket); },
        [result](napi_env env) {
          const napi_value output = leaf_output(env, *result);
          set_property(env, output, "forwardSeconds", make_number(env, result->forward_seconds));
          set_property(env, output, "backwardSeconds", make_number(env, result->backward_seconds));
          return output;
        });
  });
}

// The step has ended even if the update failed, so its leaves are discarded before the next step.
napi_value update(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    ProgramObject* object = live_object(env, args.values[0]);
    Program* program = object->program.get();
    try {
      std::shared_ptr<Optimizer> optimizer;
      const Field field(env, args.values[1], "optimizer");
      if (field.present()) optimizer = std::make_shared<Optimizer>(read_optimizer(field));
      if (optimizer) program->check(*optimizer);
      const auto result = std::make_shared<UpdateResult>();
      return enqueue(
          env, args.values[0], {}, [=, ticket = program->ticket()] { program->update(optimizer.get(), *result, ticket); },
          [result](napi_env env) {
            napi_value output;
            require_ok(env, napi_create_object(env, &output));
            set_property(env, output, "gradNorm", make_number(env, result->grad_norm));
            set_property(env, output, "seconds", make_number(env, result->seconds));
            return output;
          });
    } catch (...) {
      object->thread->post([program] { program->discard_leaves(); });
      throw;
    }
  });
}

napi_value evaluate(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    Program* program = live_object(env, args.values[0])->program.get();
    std::vector<napi_value> held;
    const MicroBatch batch = read_micro_batch({env, args.values[1], "batch"}, program->spec(), held);
    program->check_evaluation(batch);
    const Field state(env, args.values[2], "state");
    const std::string name = state.text();
    if (name != "weights" && name != "ema") state.refuse("'weights' or 'ema'");
    const auto result = std::make_shared<LeafResult>();
    return enqueue(
        env, args.values[0], std::move(held), [=, ema = name == "ema", ticket = program->ticket()] { program->evaluate(batch, ema, *result, ticket); },
        [result](napi_env env) { return leaf_output(env, *result); });
  });
}

napi_value cancel(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    live_object(env, args.values[0])->program->cancel();
    return nullptr;
  });
}

napi_value read_gradient_sum(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    Program* program = live_object(env, args.values[0])->program.get();
    std::vector<napi_value> held;
    const Subtree node = read_subtree({env, args.values[1], "subtree"});
    float* into = read_gradients({env, args.values[2], "into"}, program->parameter_floats(), held);
    return enqueue(env, args.values[0], std::move(held), [=] { program->read_subtree(node, into); });
  });
}

napi_value write_gradient_sum(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    Program* program = live_object(env, args.values[0])->program.get();
    std::vector<napi_value> held;
    const Subtree node = read_subtree({env, args.values[1], "subtree"});
    const uint32_t leaves = (uint32_t)Field(env, args.values[2], "leaves").whole(kMaxLeaves);
    const float* from = read_gradients({env, args.values[3], "from"}, program->parameter_floats(), held);
    return enqueue(env, args.values[0], std::move(held), [=, ticket = program->ticket()] { program->write_subtree(leaves, node, from, ticket); });
  });
}

napi_value initialize(napi_env env, napi_callback_info info) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    Program* program = live_object(env, args.values[0])->program.get();
    const auto initializers = std::make_shared<std::vector<Initializer>>(read_initializers({env, args.values[1], "initializers"}, program->spec()));
    const uint32_t k0 = (uint32_t)Field(env, args.values[2], "k0").whole(UINT32_MAX), k1 = (uint32_t)Field(env, args.values[3], "k1").whole(UINT32_MAX);
    return enqueue(env, args.values[0], {}, [=] { program->initialize(*initializers, {k0, k1}); });
  });
}

State read_state(const Field& field) {
  static const char* const kNames[] = {"weights", "gradients", "first_moment", "second_moment", "ema"};
  const std::string name = field.text();
  for (int i = 0; i < 5; i++)
    if (name == kNames[i]) return (State)i;
  field.refuse("weights, gradients, first_moment, second_moment or ema");
}

// Used for reading and for writing: a read writes into the arrays.
template <class Move>
napi_value move_parameters(napi_env env, napi_callback_info info, Move move) {
  return guarded(env, [&]() -> napi_value {
    const Arguments args(env, info);
    Program* program = live_object(env, args.values[0])->program.get();
    const State state = read_state({env, args.values[1], "state"});
    std::vector<napi_value> held;
    const auto parameters = std::make_shared<std::vector<ParameterValues>>(read_parameters({env, args.values[2], "parameters"}, program->spec(), held));
    return enqueue(env, args.values[0], std::move(held), [=] { move(*program, state, *parameters); });
  });
}

napi_value read(napi_env env, napi_callback_info info) {
  return move_parameters(env, info, [](Program& program, State state, const std::vector<ParameterValues>& into) { program.read(state, into); });
}

napi_value write(napi_env env, napi_callback_info info) {
  return move_parameters(env, info, [](Program& program, State state, const std::vector<ParameterValues>& from) { program.write(state, from); });
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

// RecordedSlices of libs/native/addon.ts.
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
  } kFunctions[] = {{"createProgram", create},
                    {"programAccumulate", accumulate},
                    {"programUpdate", update},
                    {"programEvaluate", evaluate},
                    {"programCancel", cancel},
                    {"programReadSubtree", read_gradient_sum},
                    {"programWriteSubtree", write_gradient_sum},
                    {"programInitialize", initialize},
                    {"programRead", read},
                    {"programWrite", write},
                    {"programDispose", dispose},
                    {"programMemory", memory},
                    {"programProfile", profile},
                    {"programTakeProfile", take_profile}};
  for (const auto& entry : kFunctions) {
    napi_value function;
    require_ok(env, napi_create_function(env, entry.name, NAPI_AUTO_LENGTH, entry.callback, nullptr, &function));
    set_property(env, exports, entry.name, function);
  }
}

}  // namespace dropstream
