// Antialiased resize, equal to Pillow's (≤ 12): two passes of 22-bit fixed point, horizontal first, each rounded to 8 bits.
#pragma once
#include <vector>

#include "image.h"

namespace dropstream::pixels {

enum class Interpolation { bilinear, bicubic };

// For each output position: where its taps start, how many there are, and their integer weights (22 fractional bits).
struct Taps {
  int stride = 0;
  std::vector<int> first, count;
  std::vector<int32_t> weights;
};

struct ResampleScratch {
  Taps taps;
  Image between;
  std::vector<int32_t> sums;
};

// Resizes `source` to full_width × full_height and writes the part `window` of that to `out`.
void resize(const Image& source, int full_width, int full_height, const Window& window, Interpolation interpolation, Image& out,
            ResampleScratch& scratch);

}  // namespace dropstream::pixels
