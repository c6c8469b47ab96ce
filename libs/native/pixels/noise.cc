#include "noise.h"

#include "kernels.h"

namespace dropstream::pixels {
namespace {

constexpr uint32_t kPurpose = 0x65726173;

}  // namespace

void NoiseStream::fill(uint64_t first, int count, float* out) const { pixel_kernels().noise({{key[0], key[1]}, box, sample, kPurpose}, first, count, out); }

}  // namespace dropstream::pixels
