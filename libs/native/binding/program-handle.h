// A program as a JavaScript handle: its lifetime, and the way of a call to its engine thread and back as a settled promise.
//
// Two owners, both on the JavaScript thread: the handle (until collected) and the thread-safe function that completions travel through
// (until Node closes it, which at the end of an environment may come first). Whoever comes first stops the thread; the last one deletes.
#pragma once
#include <atomic>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "binding/engine-thread.h"
#include "binding/values.h"
#include "vm/program.h"

namespace dropstream {

struct ProgramObject {
  std::unique_ptr<Program> program;
  std::unique_ptr<EngineThread> thread;
  napi_threadsafe_function done = nullptr;
  std::atomic<bool> disposing{false};
  size_t pending = 0;
  size_t reported_bytes = 0;  // what the garbage collector was told of
  int owners = 2;

  void stop() {
    if (program) program->stop();
    thread.reset();
  }
  void disown() {
    if (--owners == 0) delete this;
  }
};

// What a call failed with, and so the class of its error.
enum class Failure { none, cancelled, range, other };

struct Call {
  ProgramObject* object;
  napi_deferred deferred = nullptr;
  std::vector<napi_ref> held;                  // the handle and the arrays that the call uses
  std::function<void()> body;                  // on the engine thread
  std::function<napi_value(napi_env)> output;  // on the JavaScript thread; none: undefined
  Failure failure = Failure::none;
  std::string error;
};

// A handle that owns the program and an engine thread.
napi_value make_handle(napi_env env, std::unique_ptr<Program> program);

// The object of a handle; of one not disposed; of one on which no call runs. Throw BadValue or std::runtime_error.
ProgramObject* object_of(napi_env env, napi_value handle);
ProgramObject* live_object(napi_env env, napi_value handle);
ProgramObject* idle_object(napi_env env, napi_value handle);

// Runs body on the engine thread, keeping the handle and `held` referenced. Returns the promise of its output. What body throws rejects it:
// Cancelled as an Error with the code ERR_CANCELLED, std::invalid_argument as a RangeError.
napi_value enqueue(napi_env env, napi_value handle, std::vector<napi_value> held, std::function<void()> body,
                   std::function<napi_value(napi_env)> output = nullptr);

// Frees everything: now, or once the running call ended. Calls still waiting are refused.
void dispose_object(napi_env env, ProgramObject* object);

}  // namespace dropstream
