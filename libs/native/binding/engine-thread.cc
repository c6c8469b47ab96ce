#include "binding/engine-thread.h"

#include "threads/thread-mode.h"

namespace dropstream {

EngineThread::EngineThread() : thread_([this] { work(); }) {}

EngineThread::~EngineThread() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  thread_.join();
}

void EngineThread::post(std::function<void()> call) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    calls_.push_back(std::move(call));
  }
  wake_.notify_one();
}

void EngineThread::work() {
  enter_compute_mode("dropstream-eng");
  for (;;) {
    std::function<void()> call;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      wake_.wait(lock, [&] { return stop_ || !calls_.empty(); });
      if (stop_) break;
      call = std::move(calls_.front());
      calls_.pop_front();
    }
    call();
  }
  leave_compute_mode();
}

}  // namespace dropstream
