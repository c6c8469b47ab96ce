// The noise of random erasing: a pure function of (key, sample, box, element), equal bits on every machine.
//
//   word(e)  = word e mod 4 of Philox 4x32-10 at counter (⌊e / 4⌋, box, sample, 0x65726173 "eras") under key (k0, k1)
//   value(e) = float32(Φ⁻¹((word(e) + ½) / 2³²)), Φ⁻¹ by Wichura's AS 241 in float64 over our own log (random/normal.h)
//
// e is (channel · height + y) · width + x in mode "pixel", where y and x are counted inside the box, and the channel in mode "rand". k0, k1
// are erase.key, box is erase.box, and sample is the slot in the batch. A test compares with the same functions in libs/random.
#pragma once
#include <cstdint>

namespace dropstream::pixels {

struct NoiseStream {
  uint32_t key[2];
  uint32_t box, sample;
  // Writes value(first) … value(first + count − 1).
  void fill(uint64_t first, int count, float* out) const;
};

}  // namespace dropstream::pixels
