// The tile registers of AMX. The permission to use them belongs to the process, their configuration to each thread.
#pragma once

namespace dropstream {

// Whether the CPU has AMX with bf16 and the operating system lets this process use its registers. The first call asks the operating system,
// which makes the signal frames of all threads, present and future, 8 KiB larger if it agrees.
bool tiles_permitted();

// Configures eight tiles of 16 rows × 64 bytes for this thread; releases them again, which saves 8 KiB per context switch. Call them only
// if tiles_permitted().
void configure_tiles();
void release_tiles();

}  // namespace dropstream
