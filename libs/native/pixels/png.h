// PNG scanlines (inflated by the caller) to RGB, as Pillow's convert("RGB") gives it: alpha and transparency are dropped,
// palettes expanded, gray repeated, colour of 16 bits keeps the high byte, gray of 16 bits is clipped at 255.
#pragma once
#include "image.h"

namespace dropstream::pixels {

struct PngHeader {
  int width = 0, height = 0;
  int bit_depth = 8;   // 1, 2, 4, 8 or 16, as the colour type allows
  int color_type = 2;  // 0 gray, 2 RGB, 3 palette, 4 gray + alpha, 6 RGB + alpha
  bool interlaced = false;
};

// `scanlines`: the inflated image data, a filter byte before each line; interlaced: the seven passes one after another.
// `palette`: 3 bytes an entry. `line` is scratch. Throws PixelError for missing data, unknown filters, indices outside the palette.
void decode_png_scanlines(const PngHeader& header, Bytes scanlines, Bytes palette, const ChooseWindow& choose, Image& out, std::vector<uint8_t>& line);

}  // namespace dropstream::pixels
