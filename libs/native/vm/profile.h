// Where the time of a program's calls goes: one slice per kernel call, in memory taken when recording starts. Off, a call costs one branch.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "threads/pool.h"

namespace dropstream {

class Profile {
 public:
  enum class Part : uint32_t { forward, backward, update, pack };

  // `index`: of the instruction in forward or backward; of the work in `update` (0 zero gradients, 1 norm, 2 optimizer and EMA, 3 adding the sums of leaves); of the
  // parameter in `pack`, whose slices lie inside those of the product that needed it. Seconds of the steady clock.
  struct Slice {
    Part part;
    uint32_t index, samples;
    double begin, end;
  };

  // Room for so many slices, 0 turns recording off; throws std::bad_alloc. What was recorded is forgotten.
  void start(size_t max, unsigned threads) {
    jobs_.start(threads, max);
    slices_.clear();
    slices_.shrink_to_fit();
    slices_.reserve(max);
    max_ = max;
    lost_ = 0;
  }

  // Slices so far, in order of their ends; further ones were lost where there was no room.
  const std::vector<Slice>& slices() const { return slices_; }
  size_t lost() const { return lost_; }
  const JobLog& jobs() const { return jobs_; }
  void clear() {
    slices_.clear();
    lost_ = 0;
    jobs_.clear();
  }

  // While it lives, the pool's jobs are recorded too: where calls ran on several threads.
  class Recording {
   public:
    Recording(Profile& profile, Pool& pool) : pool_(profile.max_ ? &pool : nullptr) {
      if (pool_) pool_->record(&profile.jobs_);
    }
    ~Recording() {
      if (pool_) pool_->record(nullptr);
    }
    Recording(const Recording&) = delete;
    Recording& operator=(const Recording&) = delete;

   private:
    Pool* pool_;
  };

  // Records the scope it lives in.
  class Span {
   public:
    Span(Profile& profile, Part part, size_t index, size_t samples) : profile_(profile), slice_{part, (uint32_t)index, (uint32_t)samples, 0, 0} {
      if (profile_.max_) slice_.begin = steady_seconds();
    }
    ~Span() {
      if (!profile_.max_) return;
      slice_.end = steady_seconds();
      if (profile_.slices_.size() < profile_.max_)
        profile_.slices_.push_back(slice_);
      else
        profile_.lost_++;
    }
    Span(const Span&) = delete;
    Span& operator=(const Span&) = delete;

   private:
    Profile& profile_;
    Slice slice_;
  };

 private:
  std::vector<Slice> slices_;
  size_t max_ = 0, lost_ = 0;
  JobLog jobs_;
};

}  // namespace dropstream
