#include "jobs.h"

#include <exception>
#include <system_error>
#include <thread>
#include <utility>

#include "binding/values.h"

#if defined(__linux__)
#include <pthread.h>
#endif

namespace dropstream {

namespace {

constexpr size_t kMostThreads = 256;

}  // namespace

struct Jobs::Job {
  Jobs* jobs;
  napi_deferred deferred = nullptr;
  std::vector<napi_ref> held;
  std::function<void()> body;
  std::function<napi_value(napi_env)> output;
  bool failed = false, of_mesh = false, aborted = false, range = false;
  int peer = -1;
  std::string why;

  void run() noexcept {
    try {
      body();
    } catch (const MeshFailure& failure) {
      failed = of_mesh = true;
      aborted = failure.aborted;
      peer = failure.peer;
      why = failure.what();
    } catch (const std::invalid_argument& error) {
      failed = range = true;
      why = error.what();
    } catch (const std::exception& error) {
      failed = true;
      why = error.what();
    } catch (...) {
      failed = true;
      why = "an unknown exception";
    }
    // What it holds of the mesh goes on this thread.
    body = nullptr;
  }

  napi_value error(napi_env env) const {
    if (range) return make_range_error(env, why);
    const napi_value error = make_error(env, why);
    if (of_mesh) {
      set_property(env, error, "code", make_text(env, aborted ? "ERR_MESH_ABORTED" : "ERR_MESH_FAILED"));
      if (peer >= 0) set_property(env, error, "peer", make_number(env, peer));
    }
    return error;
  }
};

void Jobs::attach(napi_env env) {
  auto jobs = std::make_unique<Jobs>();
  require_ok(env,
             napi_create_threadsafe_function(env, nullptr, nullptr, make_text(env, "dropstream mesh"), 0, 1, nullptr, nullptr, nullptr, settle, &jobs->done_));
  require_ok(env, napi_unref_threadsafe_function(env, jobs->done_));
  // After the thread-safe function: hooks run in the opposite order, so threads can deliver until the last one has ended.
  require_ok(env, napi_add_env_cleanup_hook(env, end, jobs.get()));
  require_ok(env, napi_set_instance_data(
                      env, jobs.get(), [](napi_env, void* data, void*) { delete static_cast<Jobs*>(data); }, nullptr));
  (void)jobs.release();
}

Jobs& Jobs::of(napi_env env) {
  void* data = nullptr;
  require_ok(env, napi_get_instance_data(env, &data));
  return *static_cast<Jobs*>(data);
}

// Aborted transfers end within milliseconds.
void Jobs::end(void* data) {
  Jobs& jobs = *static_cast<Jobs*>(data);
  for (const auto& mesh : jobs.meshes_) {
    mesh->abort();
    mesh->reset_connections();
  }
  std::unique_lock<std::mutex> lock(jobs.mutex_);
  jobs.idle_.wait(lock, [&] { return jobs.threads_ == 0; });
  lock.unlock();
  jobs.ending_ = true;
  jobs.meshes_.clear();
}

void Jobs::run(std::function<void()> work) {
  {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (threads_ >= kMostThreads) throw std::runtime_error("too many transfers run at once");
    threads_++;
  }
  const auto ended = [this] {
    const std::lock_guard<std::mutex> lock(mutex_);
    threads_--;
    idle_.notify_all();
  };
  try {
    std::thread([work = std::move(work), ended]() mutable {
#if defined(__linux__)
      pthread_setname_np(pthread_self(), "dropstream-mesh");
#endif
      work();
      work = nullptr;
      ended();
    }).detach();
  } catch (...) {
    ended();
    throw;
  }
}

napi_value Jobs::start(napi_env env, std::vector<napi_value> held, std::function<void()> body, std::function<napi_value(napi_env)> output) {
  auto job = std::make_unique<Job>();
  job->jobs = this;
  job->body = std::move(body);
  job->output = std::move(output);
  napi_value promise;
  require_ok(env, napi_create_promise(env, &job->deferred, &promise));
  for (napi_value value : held) {
    napi_ref ref;
    require_ok(env, napi_create_reference(env, value, 1, &ref));
    job->held.push_back(ref);
  }
  Job* raw = job.get();
  try {
    run([this, raw] {
      raw->run();
      // This fails only while the environment is ending, when nobody waits for the promise.
      if (napi_call_threadsafe_function(done_, raw, napi_tsfn_blocking) != napi_ok) delete raw;
    });
  } catch (...) {
    for (napi_ref ref : job->held) napi_delete_reference(env, ref);
    throw;
  }
  (void)job.release();  // settle deletes it
  if (pending_++ == 0) require_ok(env, napi_ref_threadsafe_function(env, done_));
  return promise;
}

void Jobs::start_unwatched(std::function<void()> body) {
  const auto quietly = [body = std::move(body)] {
    try {
      body();
    } catch (const std::exception&) {
      // Nobody waits for it.
    }
  };
  // No thread may outlive the environment.
  if (ending_)
    quietly();
  else
    run(quietly);
}

// Runs on the JavaScript thread. env is null if the environment is ending.
void Jobs::settle(napi_env env, napi_value, void*, void* data) {
  std::unique_ptr<Job> job(static_cast<Job*>(data));
  if (!env) return;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  guarded(env, [&]() -> napi_value {
    Jobs& jobs = *job->jobs;
    if (--jobs.pending_ == 0) napi_unref_threadsafe_function(env, jobs.done_);
    for (napi_ref ref : job->held) napi_delete_reference(env, ref);
    napi_value value = nullptr;
    if (job->failed) {
      require_ok(env, napi_reject_deferred(env, job->deferred, job->error(env)));
      return nullptr;
    }
    if (job->output)
      value = job->output(env);
    else
      require_ok(env, napi_get_undefined(env, &value));
    require_ok(env, napi_resolve_deferred(env, job->deferred, value));
    return nullptr;
  });
  napi_close_handle_scope(env, scope);
}

}  // namespace dropstream
