// JPEG to RGB with libjpeg-turbo: accurate integer DCT, fancy upsampling; gray repeated, CMYK as Pillow converts it,
// EXIF orientation ignored. Equal bytes on every instruction set.
#pragma once
#include <memory>
#include <vector>

#include "image.h"
#include "jpeg/plain.h"

namespace dropstream::pixels {

// What one thread keeps between files. Without `plain`, libjpeg-turbo decodes every file.
struct JpegScratch {
  std::unique_ptr<PlainScratch> plain = std::make_unique<PlainScratch>();
  std::vector<uint8_t> line;
};

// Decodes `out` as the window that `choose` wants of the image, whose size it is told.
// declared_*: the size the caller believes, 0 = unknown. A truncated file is an error; other warnings of the decoder are not
// (the reference's decoder accepts such files too). Throws PixelError.
void decode_jpeg(Bytes file, int declared_width, int declared_height, const ChooseWindow& choose, Image& out, JpegScratch& scratch);

// "libjpeg-turbo 2.1.3" and how it was built.
const char* jpeg_library();

}  // namespace dropstream::pixels
