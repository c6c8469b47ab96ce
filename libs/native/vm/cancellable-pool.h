// The compute pool as the calls of one program use it: a call that is cancelled leaves out the jobs that have not begun, so it ends as soon as
// those under way do. What it leaves behind is then worth nothing, and must be thrown away by whoever sees Cancelled.
#pragma once
#include <atomic>
#include <cstdint>

#include "threads/pool.h"

namespace dropstream {

struct Cancelled {};

class CancellablePool {
 public:
  explicit CancellablePool(Pool& pool) : pool_(pool) {}

  Pool& pool() { return pool_; }
  unsigned threads() const { return pool_.threads(); }

  template <class Body>
  void run(size_t jobs, Body&& body) {
    pool_.run(jobs, [&](size_t job, unsigned thread) {
      if (!cancelled()) body(job, thread);
    });
  }

  // From any thread: cancels every call whose ticket was taken before.
  void cancel() { tickets_.fetch_add(1); }
  uint64_t ticket() const { return tickets_.load(); }

  // While it lives, the jobs run for the call with this ticket. Throws Cancelled if it is cancelled already.
  class Call {
   public:
    Call(CancellablePool& pool, uint64_t ticket) : pool_(pool) {
      if (pool_.ticket() != ticket) throw Cancelled{};  // before anything is set: the destructor of what throws here does not run
      pool_.ticket_ = ticket;
      pool_.cancellable_ = true;
    }
    ~Call() { pool_.cancellable_ = false; }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    // From here on the call is completed whatever comes. Throws Cancelled if it is too late for that.
    void complete() {
      pool_.throw_if_cancelled();
      pool_.cancellable_ = false;
    }

   private:
    CancellablePool& pool_;
  };

  // True: jobs have been left out, or will be.
  bool cancelled() const { return cancellable_ && tickets_.load(std::memory_order_relaxed) != ticket_; }
  void throw_if_cancelled() const {
    if (cancelled()) throw Cancelled{};
  }

 private:
  Pool& pool_;
  std::atomic<uint64_t> tickets_{0};
  uint64_t ticket_ = 0;
  bool cancellable_ = false;
};

}  // namespace dropstream
