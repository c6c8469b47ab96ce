// What every computing thread sets for itself.
#pragma once

namespace dropstream {

// Denormal results and operands count as zero (FTZ/DAZ), lower priority than the event loop (nice +5), and a name for debuggers.
void enter_compute_mode(const char* name);

// One polite turn of a spin loop.
inline void spin_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace dropstream
