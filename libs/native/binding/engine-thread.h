// The single thread that runs the calls of a program, in order. It sleeps between calls.
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
  ~EngineThread();  // drops calls that have not begun, and waits for the running one
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
