// The threads of pixel jobs. They have a lower priority, and the whole process shares them.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

namespace dropstream::pixels {

// Independent jobs 0 … count − 1. The pool calls run() for each on some thread, and then finished() once, on a thread of the pool.
class Batch {
 public:
  virtual ~Batch() = default;
  virtual void run(size_t job) noexcept = 0;
  virtual void finished() noexcept = 0;

 protected:
  Batch(size_t count, size_t max_threads, const void* owner) : count_(count), max_threads_(max_threads), owner_(owner) {}

 private:
  friend class Pool;
  const size_t count_, max_threads_;
  const void* const owner_;
  size_t next_ = 0, active_ = 0;  // guarded by the pool's mutex
};

class Pool {
 public:
  explicit Pool(size_t threads);
  ~Pool();  // no batch may be left
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  void submit(std::shared_ptr<Batch> batch);
  // Waits until `owner` has no batch left.
  void drain(const void* owner);
  size_t size() const { return limit_; }

 private:
  void work();
  std::shared_ptr<Batch> take(size_t& first, size_t& last);

  const size_t limit_;
  std::mutex mutex_;
  std::condition_variable wake_, left_;
  std::deque<std::shared_ptr<Batch>> batches_;
  std::vector<std::thread> threads_;
  bool closing_ = false;
};

}  // namespace dropstream::pixels
