#include "pool.h"

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <string>

#ifdef __linux__
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace dropstream::pixels {
namespace {

constexpr int kNice = 5;          // below the service's own threads, above nothing that matters
constexpr size_t kMaxGrain = 16;  // jobs taken at once: small images should not meet at the mutex

void lower_priority() {
#ifdef __linux__
  setpriority(PRIO_PROCESS, static_cast<id_t>(syscall(SYS_gettid)), kNice);  // Linux: of this thread. Failure changes nothing.
#endif
}

#ifdef __linux__
// Cores the quota in one cgroup directory allows, 0 = no limit stated there.
double quota_in(const std::string& folder) {
  std::ifstream v2(folder + "/cpu.max");
  std::string quota;
  double period = 0;
  if (v2 >> quota >> period) return quota == "max" || period <= 0 ? 0 : std::atof(quota.c_str()) / period;
  std::ifstream v1_quota(folder + "/cpu.cfs_quota_us"), v1_period(folder + "/cpu.cfs_period_us");
  double allowed = 0;
  if (v1_quota >> allowed && v1_period >> period && allowed > 0 && period > 0) return allowed / period;
  return 0;
}

double cgroup_quota() {
  double least = 0;
  const auto consider = [&](double cores) {
    if (cores > 0 && (least == 0 || cores < least)) least = cores;
  };
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    if (!controllers.empty() && controllers.find("cpu") == std::string::npos) continue;
    const std::string root = controllers.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controllers;
    // A limit may stand on any group above.
    for (std::string path = line.substr(second + 1);; path.resize(path.rfind('/'))) {
      consider(quota_in(root + path));
      if (path.rfind('/') == std::string::npos || path.empty()) break;
    }
    consider(quota_in(root));
  }
  return least;
}
#endif

}  // namespace

size_t available_cores() {
  size_t cores = std::max(1u, std::thread::hardware_concurrency());
#ifdef __linux__
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) cores = static_cast<size_t>(std::max(1, CPU_COUNT(&set)));
  const double quota = cgroup_quota();
  if (quota > 0) cores = std::min(cores, std::max<size_t>(1, static_cast<size_t>(quota + 0.999)));
#endif
  return cores;
}

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
    // std::thread throws where the system refuses another: fewer threads are fine as long as there is one.
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
  left_.wait(lock, [&] {
    return std::none_of(batches_.begin(), batches_.end(), [&](const auto& batch) { return batch->owner_ == owner; });
  });
}

// The next jobs of the oldest batch that may use another thread. Called with the mutex held.
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
      wake_.notify_one();  // another thread may have passed this batch by while it was at its limit
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
