// Colour operations in place, equal to Pillow's ImageOps and ImageEnhance.
#pragma once
#include "image.h"

namespace dropstream::pixels {

void auto_contrast(Image& image);
void equalize(Image& image);
void invert(Image& image);
// Keeps the `bits` top bits, 0 (black) to 8.
void posterize(Image& image, int bits);
// Inverts values at or above `threshold`, 0 to 256.
void solarize(Image& image, int threshold);
// Adds `addend` (0 to 255) to values below 128, at most 255.
void solarize_add(Image& image, int addend);

// base + factor · (value − base) in float32, clamped, truncated; the base is:
void brightness(Image& image, float factor);                 // black
void saturation(Image& image, float factor);                 // each pixel's luma
void contrast(Image& image, float factor);                   // the rounded mean luma
void sharpness(Image& image, float factor, Image& scratch);  // the smoothed image

}  // namespace dropstream::pixels
