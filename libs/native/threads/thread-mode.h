// What every computing thread sets for itself.
#pragma once

namespace dropstream {

// Denormal results and operands count as zero (FTZ/DAZ), lower priority than the event loop (nice +5), a name for debuggers, and AMX's tiles
// configured where this process may use them (it asks here, if nobody has). Kernels run on such threads only.
void enter_compute_mode(const char* name);

// Before such a thread ends or does something else: gives the tiles back. The rest stays.
void leave_compute_mode();

// One polite turn of a spin loop.
inline void spin_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace dropstream
