// The process's compute threads. A region is a number of jobs that share nothing; the caller works along and returns when all are done.
//
// Every thread begins with its own share of the jobs, the same part of them in every region, and takes from the others' when it is done: what
// it wrote in one kernel it reads in the next, from its own cache. Cores may lie on dies that share none: there, a step with jobs handed
// out in the order of asking takes 10 % longer.
#pragma once
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "threads/job-log.h"

namespace dropstream {

class Pool {
 public:
  // `threads` counts the caller: threads − 1 workers are started.
  explicit Pool(unsigned threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // The one that programs share, made at first use with compute_threads() and never destroyed (its threads end with the process).
  static Pool& shared();

  unsigned threads() const { return threads_; }

  // Calls body(job, thread) for every job < jobs, each once, on any thread < threads(). body must not throw or start a region.
  // Regions of different callers take turns.
  template <class Body>
  void run(size_t jobs, Body&& body) {
    run_jobs(
        jobs, [](void* context, size_t job, unsigned thread) { (*static_cast<Body*>(context))(job, thread); }, (void*)&body);
  }

  // Jobs that threads share are written to `log`, made for threads(), until it is set to null; waits for the region that runs.
  void record(JobLog* log);

 private:
  using Function = void (*)(void*, size_t, unsigned);
  void run_jobs(size_t jobs, Function function, void* context);
  void work(unsigned thread);
  void take_jobs(unsigned thread, uint64_t region);
  bool take_share(size_t share, unsigned thread, uint64_t region);

  const unsigned threads_;
  std::mutex turn_;  // held for a whole region

  // Where a share stands: region number << 24 | its next job; kClosed in the low bits between regions. A worker claims a job by moving the
  // ticket on, which can only succeed while that region is open, so a worker that wakes late touches nothing. Each on a cache line.
  struct alignas(64) Share {
    std::atomic<uint64_t> ticket{kClosed};
  };
  static constexpr uint64_t kClosed = (1u << 24) - 1;
  std::unique_ptr<Share[]> shares_;
  std::atomic<uint64_t> open_{0};  // the region that workers may enter, 0 between regions
  uint64_t last_region_ = 0;       // under turn_
  std::atomic<uint64_t> done_{0};
  std::atomic<uint64_t> jobs_{0};
  std::atomic<Function> function_{nullptr};
  std::atomic<void*> context_{nullptr};
  std::atomic<JobLog*> log_{nullptr};

  std::mutex sleep_mutex_;
  std::condition_variable wake_, finished_;
  std::atomic<int> sleepers_{0};
  std::atomic<bool> caller_sleeps_{false};
  bool stop_ = false;
  std::vector<std::thread> workers_;
};

}  // namespace dropstream
