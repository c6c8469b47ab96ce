#include "threads/cores.h"

#include <cmath>
#include <cstdlib>
#include <fstream>
#include <stdexcept>
#include <string>
#include <thread>
#if defined(__linux__)
#include <sched.h>
#endif

namespace dropstream {

namespace {

constexpr unsigned kMaxThreads = 256;

// The number of cores in a "quota period" pair, or 0 if there is no limit.
double cores_of(const std::string& quota, double period) {
  const double microseconds = atof(quota.c_str());
  return quota == "max" || microseconds <= 0 || period <= 0 ? 0 : microseconds / period;
}

// The lowest quota from the process's own cgroup up to the root.
double cgroup_cores() {
  double tightest = 0;
  const auto take = [&](double cores) {
    if (cores > 0 && (tightest == 0 || cores < tightest)) tightest = cores;
  };
  std::ifstream groups("/proc/self/cgroup");
  for (std::string line; std::getline(groups, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    const bool v2 = controllers.empty(), v1 = ("," + controllers + ",").find(",cpu,") != std::string::npos;
    if (!v1 && !v2) continue;
    for (;; path.resize(path.rfind('/'))) {
      std::string quota;
      double period = 0;
      if (v2) {
        std::ifstream file("/sys/fs/cgroup" + path + "/cpu.max");
        if (file >> quota >> period) take(cores_of(quota, period));
      } else {
        std::ifstream quota_file("/sys/fs/cgroup/cpu" + path + "/cpu.cfs_quota_us"), period_file("/sys/fs/cgroup/cpu" + path + "/cpu.cfs_period_us");
        if (quota_file >> quota && period_file >> period) take(cores_of(quota, period));
      }
      if (path.find('/') == std::string::npos) break;
    }
  }
  return tightest;
}

unsigned affinity_cores() {
#if defined(__linux__)
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return (unsigned)CPU_COUNT(&set);
#endif
  return std::thread::hardware_concurrency();
}

}  // namespace

unsigned compute_threads() {
  if (const char* asked = getenv("DROPSTREAM_THREADS"); asked && *asked) {
    char* end;
    const long threads = strtol(asked, &end, 10);
    if (*end || threads < 1 || threads > (long)kMaxThreads)
      throw std::runtime_error("DROPSTREAM_THREADS is \"" + std::string(asked) + "\", must be a whole number from 1 to 256");
    return (unsigned)threads;
  }
  unsigned cores = affinity_cores();
  if (const double quota = cgroup_cores(); quota > 0 && std::ceil(quota) < cores) cores = (unsigned)std::ceil(quota);
  return cores < 1 ? 1 : cores > kMaxThreads ? kMaxThreads : cores;
}

}  // namespace dropstream
