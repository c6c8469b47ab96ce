// The compute threads of the process. A region is a number of independent jobs; the caller works on them too, and returns when all are
// done.
//
// Every thread begins with its own share of the jobs, which is the same part in every region, and then takes jobs from the shares of
// others. So a thread mostly reads from its own cache what it wrote in the kernel before. This matters if cores do not share a cache:
// handing out jobs in the order of requests makes a step 10 % slower there.
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
  // `threads` includes the caller: threads − 1 workers are started.
  explicit Pool(unsigned threads);
  ~Pool();
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  // The pool that programs share. It is made at first use with compute_threads() and never destroyed; its threads end with the process.
  static Pool& shared();

  unsigned threads() const { return threads_; }

  // Calls body(job, thread) once for every job < jobs, on any thread < threads(). body must not throw or start a region. Regions of
  // different callers run one after another.
  template <class Body>
  void run(size_t jobs, Body&& body) {
    run_jobs(
        jobs, [](void* context, size_t job, unsigned thread) { (*static_cast<Body*>(context))(job, thread); }, (void*)&body);
  }

  // Records the jobs of regions in `log`, which must be made for threads(), until it is set to null. Waits until the running region ends.
  void record(JobLog* log);

 private:
  using Function = void (*)(void*, size_t, unsigned);
  void run_jobs(size_t jobs, Function function, void* context);
  void work(unsigned thread);
  void take_jobs(unsigned thread, uint64_t region);
  bool take_share(size_t share, unsigned thread, uint64_t region);

  const unsigned threads_;
  std::mutex turn_;  // held for a whole region

  // The state of a share: region number << 24 | its next job, with kClosed in the low bits between regions. A worker claims a job by
  // advancing the ticket, which succeeds only while that region is open, so a worker that wakes up late changes nothing. Each share has its
  // own cache line.
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
