// Asynchronous calls: jobs on the pool's threads, and a promise settled on the calling one.
#pragma once
#include <node_api.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "pool.h"

namespace dropstream::pixels {

// What belongs to one environment (the main thread or a worker): its way back from pool threads, and its calls in flight.
struct Environment {
  napi_env env;
  napi_threadsafe_function settle;
  std::shared_ptr<Pool> pool;
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

}  // namespace dropstream::pixels
