// PNG scanlines (inflated by the caller) to RGB, equal to Pillow's convert("RGB"): alpha and transparency are dropped, palettes expanded,
// gray is repeated, 16-bit colour keeps its high byte, and 16-bit gray is clipped at 255.
#pragma once
#include "image.h"

namespace dropstream::pixels {

struct PngHeader {
  int width = 0, height = 0;
  int bit_depth = 8;   // 1, 2, 4, 8 or 16, as the colour type allows
  int color_type = 2;  // 0 gray, 2 RGB, 3 palette, 4 gray + alpha, 6 RGB + alpha
  bool interlaced = false;
};

// `scanlines` is the inflated image data, with a filter byte before each line; an interlaced image has seven passes one after another.
// `palette` has 3 bytes per entry. `line` is scratch memory. Throws PixelError for missing data, unknown filters, and indices outside of
// the palette.
void decode_png_scanlines(const PngHeader& header, Bytes scanlines, Bytes palette, const ChooseWindow& choose, Image& out, std::vector<uint8_t>& line);

}  // namespace dropstream::pixels
