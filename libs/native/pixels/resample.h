// Antialiased resize, equal to Pillow's (≤ 12): two passes of 22-bit fixed point, horizontal first, each rounded to 8 bits.
#pragma once
#include <vector>

#include "image.h"
#include "kernels.h"

namespace dropstream::pixels {

enum class Interpolation { bilinear, bicubic };

struct TapsOfAxis {
  int stride = 0;
  std::vector<int> first, count;
  std::vector<int32_t> weights;
  Taps view() const { return {stride, first.data(), count.data(), weights.data()}; }
};

// Which part of an image must be read, and with which taps, to get the part `window` of the image resized to full_width × full_height,
// mirrored or not.
struct Resize {
  Window reads;                     // of the image
  TapsOfAxis horizontal, vertical;  // counted inside `reads`; an axis of unchanged size has none
  bool resamples_horizontally = false, resamples_vertically = false, mirrored = false;
  std::vector<double> exact;  // scratch
};

struct ResampleScratch {
  Image between, mirrored;
  std::vector<uint8_t> strips;
};

void plan_resize(int width, int height, int full_width, int full_height, const Window& window, Interpolation interpolation, bool mirrored, Resize& plan);

// `source` is the pixels of plan.reads, with kReadSlack readable bytes after them. `out` has the window's size and does not overlap the
// source.
void resize(const Resize& plan, const Planes& source, const Planes& out, ResampleScratch& scratch);

}  // namespace dropstream::pixels
