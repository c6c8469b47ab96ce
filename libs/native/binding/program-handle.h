// A program as a JavaScript handle. This covers its lifetime, and how a call reaches its engine thread and comes back as a settled promise.
//
// The object has two owners, both on the JavaScript thread: the handle (until it is collected), and the thread-safe function that delivers
// completions (until Node closes it, which can happen first when an environment ends). The first owner to leave stops the thread, and the
// last one deletes the object.
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
  size_t reported_bytes = 0;  // last reported to the garbage collector
  int owners = 2;

  void stop() {
    if (program) program->stop();
    thread.reset();
  }
  void disown() {
    if (--owners == 0) delete this;
  }
};

// Why a call failed, which determines the class of its error.
enum class Failure { none, cancelled, range, other };

struct Call {
  ProgramObject* object;
  napi_deferred deferred = nullptr;
  std::vector<napi_ref> held;                  // the handle and the arrays that the call uses
  std::function<void()> body;                  // runs on the engine thread
  std::function<napi_value(napi_env)> output;  // runs on the JavaScript thread; if empty, the promise resolves to undefined
  Failure failure = Failure::none;
  std::string error;
};

// Makes a handle that owns the program and an engine thread.
napi_value make_handle(napi_env env, std::unique_ptr<Program> program);

// The object of a handle; the same, if it is not disposed; the same, if no call runs on it. Otherwise they throw BadValue or
// std::runtime_error.
ProgramObject* object_of(napi_env env, napi_value handle);
ProgramObject* live_object(napi_env env, napi_value handle);
ProgramObject* idle_object(napi_env env, napi_value handle);

// Runs `body` on the engine thread, and keeps the handle and `held` referenced meanwhile. Returns a promise of the output. If `body`
// throws, the promise is rejected: Cancelled becomes an Error with the code ERR_CANCELLED, std::invalid_argument a RangeError.
napi_value enqueue(napi_env env, napi_value handle, std::vector<napi_value> held, std::function<void()> body,
                   std::function<napi_value(napi_env)> output = nullptr);

// Frees everything, now or when the running call has ended. Calls that still wait are rejected.
void dispose_object(napi_env env, ProgramObject* object);

}  // namespace dropstream
