#include "pool.h"

#include <algorithm>

#ifdef __linux__
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace dropstream::pixels {
namespace {

constexpr int kNice = 5;          // lower priority than the service's other threads
constexpr size_t kMaxGrain = 16;  // jobs taken at once, so that small images do not contend for the mutex

void lower_priority() {
#ifdef __linux__
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNice);  // on Linux, of this thread; a failure is harmless
#endif
}

}  // namespace

Pool::Pool(size_t threads) : limit_(std::max<size_t>(1, threads)) {}

Pool::~Pool() {
  {
    const std::lock_guard lock(mutex_);
    closing_ = true;
  }
  wake_.notify_all();
  for (std::thread& thread : threads_) thread.join();
}

void Pool::submit(std::shared_ptr<Batch> batch) {
  {
    const std::lock_guard lock(mutex_);
    // std::thread throws if the system starts no more threads; one thread is enough.
    while (threads_.size() < limit_) {
      try {
        threads_.emplace_back([this] { work(); });
      } catch (...) {
        if (threads_.empty()) throw;
        break;
      }
    }
    batches_.push_back(std::move(batch));
  }
  wake_.notify_all();
}

void Pool::drain(const void* owner) {
  std::unique_lock lock(mutex_);
  left_.wait(lock, [&] { return std::none_of(batches_.begin(), batches_.end(), [&](const auto& batch) { return batch->owner_ == owner; }); });
}

// Returns the next jobs of the oldest batch that may use another thread. The caller must hold the mutex.
std::shared_ptr<Batch> Pool::take(size_t& first, size_t& last) {
  for (const auto& batch : batches_) {
    if (batch->next_ >= batch->count_ || batch->active_ >= batch->max_threads_) continue;
    const size_t grain = std::clamp<size_t>(batch->count_ / (8 * limit_), 1, kMaxGrain);
    first = batch->next_;
    last = std::min(batch->count_, first + grain);
    batch->next_ = last;
    batch->active_++;
    return batch;
  }
  return nullptr;
}

void Pool::work() {
  lower_priority();
  std::unique_lock lock(mutex_);
  while (true) {
    size_t first = 0, last = 0;
    const std::shared_ptr<Batch> batch = take(first, last);
    if (!batch) {
      if (closing_) return;
      wake_.wait(lock);
      continue;
    }
    lock.unlock();
    for (size_t job = first; job < last; job++) batch->run(job);
    lock.lock();
    batch->active_--;
    if (batch->next_ < batch->count_) {
      wake_.notify_one();  // another thread may have skipped this batch while it was at its limit
    } else if (batch->active_ == 0) {
      lock.unlock();
      batch->finished();
      lock.lock();
      batches_.erase(std::find(batches_.begin(), batches_.end(), batch));
      left_.notify_all();
    }
  }
}

}  // namespace dropstream::pixels
