// Colour operations, equal to Pillow's ImageOps and ImageEnhance. They work in place, except for sharpness, which writes another image of
// the same size. The planes must be contiguous in memory, with kReadSlack readable bytes after each.
#pragma once
#include "kernels.h"

namespace dropstream::pixels {

void auto_contrast(const Planes& image);
void equalize(const Planes& image);
void invert(const Planes& image);
// Keeps the `bits` highest bits; bits is from 0 (black) to 8.
void posterize(const Planes& image, int bits);
// Inverts values from `threshold` on, which is from 0 to 256.
void solarize(const Planes& image, int threshold);
// Adds `addend` (0 to 255) to values below 128, and clamps the result to 255.
void solarize_add(const Planes& image, int addend);

// base + factor · (value − base) in float32, clamped, truncated; the base is:
void brightness(const Planes& image, float factor);                          // black
void saturation(const Planes& image, float factor);                          // each pixel's luma
void contrast(const Planes& image, float factor);                            // the rounded mean luma
void sharpness(const Planes& image, float factor, const Planes& sharpened);  // the smoothed image

}  // namespace dropstream::pixels
