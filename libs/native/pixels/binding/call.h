// Asynchronous calls: jobs on the threads of the pool, and a promise that is settled on the calling thread.
#pragma once
#include <node_api.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <string>
#include <vector>

#include "pool.h"

namespace dropstream::pixels {

// The state of one environment (the main thread or a worker): its way back from pool threads, and its running calls.
struct Environment {
  napi_env env;
  napi_threadsafe_function settle;
  std::shared_ptr<Pool> pool;
  size_t in_flight = 0;  // accessed on the environment's thread only
  std::atomic<bool> closing{false};
};

// One asynchronous call: its jobs, their outcomes, and the promise.
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

  // Starts the call and returns the promise. From then on the call owns itself, until settle().
  static napi_value start(Environment& environment, std::unique_ptr<Call> call, napi_value keep_alive);
  // Runs on the environment's thread, or with env == nullptr if the environment is ending.
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
      reasons_[job] = "?";  // a short string, which allocates nothing
    }
  }

  Environment& environment_;
  std::vector<std::string> reasons_;
  napi_deferred deferred_ = nullptr;
  napi_ref keep_alive_ = nullptr;
  std::shared_ptr<Call> self_;
};

}  // namespace dropstream::pixels
