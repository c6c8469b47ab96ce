// AMX's tile registers: their permission, which is the process's, and their configuration, which is a thread's.
#pragma once

namespace dropstream {

// Whether the CPU has AMX with bf16 and the operating system grants its registers to this process. Asked at the first call, once: the grant
// holds for all threads, present and future, and makes the frames of their signal handlers 8 KiB larger.
bool tiles_permitted();

// Eight tiles of 16 rows × 64 bytes, for this thread; and back to none, which spares the thread's switches 8 KiB. Only where permitted.
void configure_tiles();
void release_tiles();

}  // namespace dropstream
