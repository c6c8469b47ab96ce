#pragma once

namespace dropstream {

// The number of compute threads: DROPSTREAM_THREADS (1 … 256), or else the number of cores that this process may use, which is the smaller
// of its affinity and of its cgroup's CPU quota (cpu.max of v2 on every level, or the cfs quota of v1), rounded up. Throws
// std::runtime_error if DROPSTREAM_THREADS is not such a number.
unsigned compute_threads();

}  // namespace dropstream
