// Sums of floats with the bits of the engine.
#pragma once
#include <cstddef>

namespace dropstream {

// into = left + right, element by element; into may be left or right.
void add_floats(float* into, const float* left, const float* right, size_t count);

// What the calling thread does with numbers below the smallest normal one from now on: count them as zero, as compute threads do (threads/thread-mode.h),
// or keep them, as IEEE 754 says.
void flush_subnormals(bool flush);

}  // namespace dropstream
