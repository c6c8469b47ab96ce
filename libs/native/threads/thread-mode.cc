#include "threads/thread-mode.h"

#include "threads/tile-mode.h"

#include <pthread.h>

#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__linux__)
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace dropstream {

void enter_compute_mode(const char* name) {
  if (tiles_permitted()) configure_tiles();
#if defined(__x86_64__)
  _mm_setcsr(_mm_getcsr() | 0x8040);
#elif defined(__aarch64__)
  uint64_t control;
  asm volatile("mrs %0, fpcr" : "=r"(control));
  asm volatile("msr fpcr, %0" : : "r"(control | (1ull << 24)));
#endif
#if defined(__linux__)
  pthread_setname_np(pthread_self(), name);
  // On Linux both calls concern a single thread. If they fail, only the priority stays as it was.
  const id_t thread = (id_t)syscall(SYS_gettid);
  const int inherited = getpriority(PRIO_PROCESS, thread);
  setpriority(PRIO_PROCESS, thread, inherited > 14 ? 19 : inherited + 5);
#else
  (void)name;
#endif
}

void leave_compute_mode() {
  if (tiles_permitted()) release_tiles();
}

}  // namespace dropstream
