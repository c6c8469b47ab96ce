// The settings of a compute thread.
#pragma once

namespace dropstream {

// Prepares the calling thread for kernels, which run on such threads only: denormal results and operands count as zero (FTZ and DAZ), its
// priority is lower than the event loop's (nice +5), it has a name for debuggers, and the tiles of AMX are configured if this process may
// use them (the first call asks the operating system).
void enter_compute_mode(const char* name);

// Releases the tiles. Call it before such a thread ends or does other work. The other settings stay.
void leave_compute_mode();

// One iteration of a spin loop, with the CPU's hint for waiting.
inline void spin_pause() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

}  // namespace dropstream
