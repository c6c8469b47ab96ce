// Renders one sample: source bytes and a plan in, size × size RGB planes out. All decisions are in the plan.
#pragma once
#include <vector>

#include "affine.h"
#include "image.h"
#include "jpeg.h"
#include "png.h"
#include "resample.h"

namespace dropstream::pixels {

enum class Format { jpeg, png_scanlines, rgb, gray };
enum class GeometryKind { none, resized_crop, padded_crop, resize_center_crop, warp };
enum class OpKind {
  auto_contrast,
  equalize,
  invert,
  rotate,
  posterize,
  solarize,
  solarize_add,
  color,
  contrast,
  brightness,
  sharpness,
  shear_x,
  shear_y,
  translate_x,
  translate_y,
};

struct Source {
  Format format = Format::rgb;
  Bytes bytes, palette;       // palette: PNG only
  PngHeader png;              // png_scanlines only
  int width = 0, height = 0;  // rgb, gray: the size; jpeg: the size declared, 0 = unknown
};

struct Operation {
  OpKind kind;
  double argument;
  Interpolation interpolation;
};

struct Plan {
  GeometryKind geometry = GeometryKind::none;
  Window window;                            // resized_crop: in the source; padded_crop: top and left in the padded image
  int padding = 0;                          // padded_crop
  int resize_width = 0, resize_height = 0;  // resize_center_crop; window.top, window.left in the resized image
  Interpolation interpolation = Interpolation::bilinear;
  bool flip = false;
  Fill fill{{0, 0, 0}};
  std::vector<Operation> operations;
};

// The memory that one thread keeps between samples.
struct RenderScratch {
  Image decoded, image, spare;
  Resize resize;
  ResampleScratch resample;
  JpegScratch jpeg;
  std::vector<uint8_t> line;
  // Frees memory after an unusually large image.
  void trim();
};

// Writes the whole source, with the plan's flip and operations applied, as interleaved RGB to `rgb` (3 · width · height bytes). The
// geometry of the plan is ignored. Throws PixelError.
void decode_source(const Source& source, const Plan& plan, RenderScratch& scratch, uint8_t* rgb, size_t rgb_size);

// Writes 3 · size · size bytes (planes R, G, B) to `out`. Throws PixelError.
void render(const Source& source, const Plan& plan, int size, RenderScratch& scratch, uint8_t* out);

}  // namespace dropstream::pixels
