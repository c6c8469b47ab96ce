#include "threads/pool.h"

#include "threads/cores.h"
#include "threads/thread-mode.h"

namespace dropstream {

namespace {
// About 30 µs: longer than the gap between two kernels of a step, short enough to leave an idle machine alone.
constexpr int kSpins = 1000;
}  // namespace

Pool& Pool::shared() {
  static Pool* pool = new Pool(compute_threads());
  return *pool;
}

Pool::Pool(unsigned threads) : threads_(threads), shares_(std::make_unique<Share[]>(threads)) {
  for (unsigned i = 1; i < threads; i++) workers_.emplace_back([this, i] { work(i); });
}

Pool::~Pool() {
  {
    std::lock_guard<std::mutex> lock(sleep_mutex_);
    stop_ = true;
  }
  wake_.notify_all();
  for (std::thread& worker : workers_) worker.join();
}

void Pool::record(JobLog* log) {
  std::lock_guard<std::mutex> turn(turn_);
  log_.store(log, std::memory_order_relaxed);
}

// Works on the rest of a share while the region is open. Returns false after the region's last job.
bool Pool::take_share(size_t share, unsigned thread, uint64_t region) {
  std::atomic<uint64_t>& next = shares_[share].ticket;
  uint64_t ticket = next.load(std::memory_order_acquire);
  while (ticket >> 24 == region && (ticket & kClosed) != kClosed) {
    const uint64_t job = ticket & kClosed, jobs = jobs_.load(std::memory_order_relaxed);
    if (job >= jobs * (share + 1) / threads_) break;
    const Function function = function_.load(std::memory_order_relaxed);
    void* context = context_.load(std::memory_order_relaxed);
    if (!next.compare_exchange_weak(ticket, ticket + 1, std::memory_order_acq_rel)) continue;
    JobLog* log = log_.load(std::memory_order_relaxed);
    const double began = log ? steady_seconds() : 0;
    function(context, job, thread);
    if (log) log->add(thread, began, steady_seconds());
    if (done_.fetch_add(1) + 1 == jobs) return false;
    ticket = next.load(std::memory_order_acquire);
  }
  return true;
}

void Pool::take_jobs(unsigned thread, uint64_t region) {
  for (unsigned i = 0; i < threads_; i++) {
    if (take_share((thread + i) % threads_, thread, region)) continue;
    if (caller_sleeps_.load()) {
      std::lock_guard<std::mutex> lock(sleep_mutex_);
      finished_.notify_one();
    }
    return;
  }
}

void Pool::run_jobs(size_t jobs, Function function, void* context) {
  if (jobs == 0) return;
  if (threads_ == 1 || jobs == 1 || jobs >= kClosed) {
    for (size_t job = 0; job < jobs; job++) function(context, job, 0);
    return;
  }
  std::lock_guard<std::mutex> turn(turn_);
  const uint64_t region = ++last_region_;
  jobs_.store(jobs, std::memory_order_relaxed);
  function_.store(function, std::memory_order_relaxed);
  context_.store(context, std::memory_order_relaxed);
  done_.store(0, std::memory_order_relaxed);
  for (size_t share = 0; share < threads_; share++) shares_[share].ticket.store(region << 24 | jobs * share / threads_, std::memory_order_release);
  open_.store(region);
  if (sleepers_.load() > 0) {
    std::lock_guard<std::mutex> lock(sleep_mutex_);
    wake_.notify_all();
  }
  take_jobs(0, region);
  for (int spins = 0; done_.load(std::memory_order_acquire) < jobs; spins++) {
    if (spins < kSpins) {
      spin_pause();
      continue;
    }
    std::unique_lock<std::mutex> lock(sleep_mutex_);
    caller_sleeps_.store(true);
    finished_.wait(lock, [&] { return done_.load() >= jobs; });
    caller_sleeps_.store(false);
  }
  open_.store(0, std::memory_order_relaxed);
  for (size_t share = 0; share < threads_; share++) shares_[share].ticket.store(region << 24 | kClosed, std::memory_order_release);
}

void Pool::work(unsigned thread) {
  enter_compute_mode("dropstream");
  uint64_t finished = 0;
  for (;;) {
    uint64_t region = 0;
    const auto opened = [&] {
      region = open_.load();  // sequentially consistent with sleepers_, or a wake-up could be lost
      return region != 0 && region != finished;
    };
    bool found = false;
    for (int spins = 0; spins < kSpins && !(found = opened()); spins++) spin_pause();
    if (!found) {
      std::unique_lock<std::mutex> lock(sleep_mutex_);
      sleepers_.fetch_add(1);
      wake_.wait(lock, [&] { return stop_ || opened(); });
      sleepers_.fetch_sub(1);
      if (stop_) break;
    }
    take_jobs(thread, region);
    finished = region;
  }
  leave_compute_mode();
}

}  // namespace dropstream
