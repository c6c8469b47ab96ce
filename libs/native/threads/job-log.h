// Records when the threads of a pool worked, with one entry per job, in memory that is allocated beforehand. Each thread writes its own
// list.
#pragma once
#include <chrono>
#include <cstddef>
#include <vector>

namespace dropstream {

inline double steady_seconds() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

class JobLog {
 public:
  struct Job {
    double begin, end;
  };

  // Makes room for this number of jobs per thread and forgets what was recorded. Throws std::bad_alloc.
  void start(unsigned threads, size_t max) {
    jobs_.assign(threads, {});
    for (auto& list : jobs_) list.reserve(max);
  }

  void add(unsigned thread, double begin, double end) {
    if (thread < jobs_.size() && jobs_[thread].size() < jobs_[thread].capacity()) jobs_[thread].push_back({begin, end});
  }

  const std::vector<std::vector<Job>>& jobs() const { return jobs_; }
  void clear() {
    for (auto& list : jobs_) list.clear();
  }

 private:
  std::vector<std::vector<Job>> jobs_;
};

}  // namespace dropstream
