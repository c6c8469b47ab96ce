// Records where the time of a program's calls goes, with one slice per kernel call, in memory that is allocated when recording starts.
// While recording is off, it costs one branch per call.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "threads/pool.h"

namespace dropstream {

class Profile {
 public:
  enum class Part : uint32_t { forward, backward, update, pack };

  // `index` depends on the phase. forward, backward: the index of the instruction. update: 0 for zeroing gradients, 1 for the norm, 2 for
  // optimizer and EMA, 3 for adding the sums of leaves. pack: the index of the parameter; such a slice lies inside that of the product that
  // needed it. Times are seconds of the steady clock.
  struct Slice {
    Part part;
    uint32_t index, samples;
    double begin, end;
  };

  // Makes room for this number of slices and forgets what was recorded; 0 turns recording off. Throws std::bad_alloc.
  void start(size_t max, unsigned threads) {
    jobs_.start(threads, max);
    slices_.clear();
    slices_.shrink_to_fit();
    slices_.reserve(max);
    max_ = max;
    lost_ = 0;
  }

  // The slices so far, in order of their ends. Slices for which there was no room are lost.
  const std::vector<Slice>& slices() const { return slices_; }
  size_t lost() const { return lost_; }
  const JobLog& jobs() const { return jobs_; }
  void clear() {
    slices_.clear();
    lost_ = 0;
    jobs_.clear();
  }

  // While this object exists, the pool's jobs are recorded, too, so that one can see which calls ran on several threads.
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

  // Records the scope in which it is declared.
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
