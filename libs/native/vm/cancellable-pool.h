// The compute pool as seen by the calls of one program. A cancelled call skips the jobs that have not begun, so it ends as soon as the
// running jobs do. Its results are then incomplete, and whoever catches Cancelled must discard them.
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

  // May be called from any thread. Cancels every call whose ticket was taken before.
  void cancel() { tickets_.fetch_add(1); }
  uint64_t ticket() const { return tickets_.load(); }

  // While a Call exists, jobs run for the call with this ticket. Throws Cancelled if that call has been cancelled already.
  class Call {
   public:
    Call(CancellablePool& pool, uint64_t ticket) : pool_(pool) {
      if (pool_.ticket() != ticket) throw Cancelled{};  // before anything is set, because the destructor does not run then
      pool_.ticket_ = ticket;
      pool_.cancellable_ = true;
    }
    ~Call() { pool_.cancellable_ = false; }
    Call(const Call&) = delete;
    Call& operator=(const Call&) = delete;
    // From here on the call cannot be cancelled. Throws Cancelled if it has been cancelled already.
    void complete() {
      pool_.throw_if_cancelled();
      pool_.cancellable_ = false;
    }

   private:
    CancellablePool& pool_;
  };

  // If true, jobs have been skipped or will be.
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
