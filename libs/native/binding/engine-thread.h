// The one thread that runs a program's calls, in order; it sleeps between them.
#pragma once
#include <condition_variable>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>

namespace dropstream {

class EngineThread {
 public:
  EngineThread();
  ~EngineThread();  // drops calls not yet begun, waits for the running one
  EngineThread(const EngineThread&) = delete;
  EngineThread& operator=(const EngineThread&) = delete;

  void post(std::function<void()> call);

 private:
  void work();
  std::mutex mutex_;
  std::condition_variable wake_;
  std::deque<std::function<void()>> calls_;
  bool stop_ = false;
  std::thread thread_;
};

}  // namespace dropstream
