#pragma once

namespace dropstream {

// Threads to compute with: DROPSTREAM_THREADS (1 … 256), else the cores this process may use: the smaller of its affinity and its
// cgroup's CPU quota (v2 cpu.max up the tree, or v1 cfs quota), rounded up. Throws std::runtime_error where DROPSTREAM_THREADS is not a number.
unsigned compute_threads();

}  // namespace dropstream
