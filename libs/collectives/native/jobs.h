// Calls that block, each on a thread of its own, and how they come back as settled promises. There are a handful for each step of training, so a thread
// for each costs nothing, and transfers that wait for each other cannot wait for a thread.
#pragma once
#include <node_api.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <set>
#include <vector>

#include "mesh.h"

namespace dropstream {

// What belongs to one environment (the main thread, or a worker thread of Node). All functions run on its JavaScript thread.
class Jobs {
 public:
  // Makes the environment's jobs; at its end, meshes are aborted and their threads waited for.
  static void attach(napi_env env);
  static Jobs& of(napi_env env);

  // Runs `body` on a thread and keeps `held` alive meanwhile. The promise resolves to what `output` makes, or to undefined. A MeshFailure rejects it
  // with an Error whose code is ERR_MESH_ABORTED or ERR_MESH_FAILED and whose `peer` is a rank, if it is known.
  napi_value start(napi_env env, std::vector<napi_value> held, std::function<void()> body, std::function<napi_value(napi_env)> output = nullptr);
  // The same without a promise; errors are of no interest, and it keeps no process alive.
  void start_unwatched(std::function<void()> body);

  // Meshes that are not closed.
  void add(const std::shared_ptr<Mesh>& mesh) { meshes_.insert(mesh); }
  void remove(const std::shared_ptr<Mesh>& mesh) { meshes_.erase(mesh); }

 private:
  struct Job;
  static void settle(napi_env env, napi_value, void* context, void* data);
  static void end(void* jobs);
  void run(std::function<void()> work);

  napi_threadsafe_function done_ = nullptr;
  size_t pending_ = 0;
  bool ending_ = false;
  std::set<std::shared_ptr<Mesh>> meshes_;
  std::mutex mutex_;
  std::condition_variable idle_;
  size_t threads_ = 0;
};

}  // namespace dropstream
