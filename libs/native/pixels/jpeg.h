// JPEG to RGB with libjpeg-turbo: accurate integer DCT and fancy upsampling. Gray is repeated, CMYK is converted as by Pillow, and the EXIF
// orientation is ignored. The bytes are equal on every instruction set.
#pragma once
#include <memory>
#include <vector>

#include "image.h"
#include "jpeg/plain.h"

namespace dropstream::pixels {

// The memory that one thread keeps between files. If `plain` is false, libjpeg-turbo decodes every file.
struct JpegScratch {
  std::unique_ptr<PlainScratch> plain = std::make_unique<PlainScratch>();
  std::vector<uint8_t> line;
};

// Decodes into `out` the window that `choose` returns for the image's size. declared_* is the size that the caller expects, 0 = unknown. A
// truncated file is an error, but other warnings of the decoder are not (the reference's decoder accepts such files, too). Throws
// PixelError.
void decode_jpeg(Bytes file, int declared_width, int declared_height, const ChooseWindow& choose, Image& out, JpegScratch& scratch);

// For example "libjpeg-turbo 2.1.3", and how it was built.
const char* jpeg_library();

}  // namespace dropstream::pixels
