#include "render.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "color.h"

namespace dropstream::pixels {
namespace {

constexpr size_t kKeptBytes = size_t{32} << 20;

void decode_raw(const Source& source, const ChooseWindow& choose, Image& out) {
  check_dimensions(source.width, source.height);
  const size_t channels = source.format == Format::rgb ? 3 : 1;
  const size_t expected = channels * static_cast<size_t>(source.width) * static_cast<size_t>(source.height);
  if (source.bytes.size != expected) {
    throw PixelError("raw image of " + std::to_string(source.bytes.size) + " bytes: " + std::to_string(expected) + " expected");
  }
  const Window wanted = choose(source.width, source.height);
  out.reshape(wanted.width, wanted.height);
  for (int y = 0; y < wanted.height; y++) {
    const size_t at = static_cast<size_t>(wanted.top + y) * static_cast<size_t>(source.width) + static_cast<size_t>(wanted.left);
    const uint8_t* line = source.bytes.data + channels * at;
    if (channels == 3) {
      deinterleave(line, wanted.width, out.row(0, y), out.row(1, y), out.row(2, y));
    } else {
      for (int c = 0; c < 3; c++) std::memcpy(out.row(c, y), line, static_cast<size_t>(wanted.width));
    }
  }
}

void decode(const Source& source, const ChooseWindow& choose, RenderScratch& scratch, Image& out) {
  switch (source.format) {
    case Format::jpeg: return decode_jpeg(source.bytes, source.width, source.height, choose, out, scratch.jpeg);
    case Format::png_scanlines:
      check_declared(source.width, source.height, source.png.width, source.png.height);
      return decode_png_scanlines(source.png, source.bytes, source.palette, choose, out, scratch.line);
    case Format::rgb:
    case Format::gray: return decode_raw(source, choose, out);
  }
}

// Copies the size × size part at (top, left) of the image with `padding` zero pixels on every side.
void padded_crop(const Image& source, const Plan& plan, int size, Image& out) {
  const int top = plan.window.top - plan.padding, left = plan.window.left - plan.padding;
  if (plan.padding < 0 || plan.padding > kMaxOutputSide || plan.window.top < 0 || plan.window.left < 0 || top > source.height + plan.padding - size ||
      left > source.width + plan.padding - size) {
    throw PixelError("padded crop (padding " + std::to_string(plan.padding) + ", top " + std::to_string(plan.window.top) + ", left " +
                     std::to_string(plan.window.left) + ", size " + std::to_string(size) + ") leaves the padded image of " + std::to_string(source.width) +
                     " x " + std::to_string(source.height) + " pixels");
  }
  out.reshape(size, size);
  std::memset(out.plane(0), 0, 3 * out.area());
  const int first = std::clamp(-left, 0, size), last = std::clamp(source.width - left, first, size);
  for (int c = 0; c < 3; c++) {
    for (int y = std::max(0, -top); y < std::min(size, source.height - top); y++) {
      std::memcpy(out.row(c, y) + first, source.row(c, top + y) + left + first, static_cast<size_t>(last - first));
    }
  }
}

Window whole(int width, int height) { return {0, 0, height, width}; }

// Decodes what the resized part needs and resizes it into `out`, size × size, mirrored if the plan has a flip.
void decode_resized(const Source& source, const Plan& plan, int size, RenderScratch& scratch, Image& out) {
  const auto choose = [&](int width, int height) {
    Window crop = whole(width, height), part{0, 0, size, size};
    int full_width = size, full_height = size;
    if (plan.geometry == GeometryKind::resized_crop) {
      if (plan.window.height < 1 || plan.window.width < 1) throw PixelError("the crop has no pixels");
      crop = window_within(plan.window, width, height);
    } else if (plan.geometry == GeometryKind::resize_center_crop) {
      check_dimensions(plan.resize_width, plan.resize_height);
      full_width = plan.resize_width;
      full_height = plan.resize_height;
      part = window_within({plan.window.top, plan.window.left, size, size}, full_width, full_height);
    }
    plan_resize(crop.width, crop.height, full_width, full_height, part, plan.interpolation, plan.flip, scratch.resize);
    const Window& reads = scratch.resize.reads;
    return Window{crop.top + reads.top, crop.left + reads.left, reads.height, reads.width};
  };
  decode(source, std::ref(choose), scratch, scratch.decoded);
  out.reshape(size, size);
  resize(scratch.resize, scratch.decoded.planes(), out.planes(), scratch.resample);
}

// An image and a second one of the same size. Operations that do not work in place alternate between the two.
class Adjusting {
 public:
  Adjusting(const Planes& image, const Planes& spare, const Plan& plan) : image_(image), spare_(spare), plan_(plan) {}

  // Returns the image that holds the result.
  Planes run(bool flipped) {
    if (plan_.flip && !flipped) {
      pixel_kernels().mirror(image_, spare_);
      std::swap(image_, spare_);
    }
    for (const Operation& operation : plan_.operations) apply_operation(operation);
    return image_;
  }

 private:
  void affine(const AffineMatrix& matrix, const Operation& operation) {
    transform(image_, matrix, operation.interpolation, plan_.fill, spare_);
    std::swap(image_, spare_);
  }

  void apply_operation(const Operation& operation) {
    const double argument = operation.argument;
    const auto factor = static_cast<float>(argument);
    switch (operation.kind) {
      case OpKind::auto_contrast: return auto_contrast(image_);
      case OpKind::equalize: return equalize(image_);
      case OpKind::invert: return invert(image_);
      case OpKind::rotate: return affine(rotate(argument, image_.width, image_.height), operation);
      case OpKind::posterize: return posterize(image_, static_cast<int>(argument));
      case OpKind::solarize: return solarize(image_, static_cast<int>(argument));
      case OpKind::solarize_add: return solarize_add(image_, static_cast<int>(argument));
      case OpKind::color: return saturation(image_, factor);
      case OpKind::contrast: return contrast(image_, factor);
      case OpKind::brightness: return brightness(image_, factor);
      case OpKind::sharpness: sharpness(image_, factor, spare_); return std::swap(image_, spare_);
      case OpKind::shear_x: return affine(shear_x(argument), operation);
      case OpKind::shear_y: return affine(shear_y(argument), operation);
      case OpKind::translate_x: return affine(translate_x(argument), operation);
      case OpKind::translate_y: return affine(translate_y(argument), operation);
    }
  }

  Planes image_, spare_;
  const Plan& plan_;
};

Planes adjust(Image& image, const Plan& plan, bool flipped, Image& spare) {
  spare.reshape(image.width, image.height);
  return Adjusting(image.planes(), spare.planes(), plan).run(flipped);
}

}  // namespace

void RenderScratch::trim() {
  for (Image* image : {&decoded, &this->image, &spare, &resample.between, &resample.mirrored}) {
    if (image->capacity() > kKeptBytes) image->release();
  }
  if (jpeg.plain) jpeg.plain->trim(kKeptBytes);
}

void decode_source(const Source& source, const Plan& plan, RenderScratch& scratch, uint8_t* rgb, size_t rgb_size) {
  Image& image = scratch.image;
  decode(source, whole, scratch, image);
  if (rgb_size != 3 * image.area()) throw PixelError("image is not of the size announced by its header");
  const Planes result = adjust(image, plan, false, scratch.spare);
  interleave(result.row(0, 0), result.row(1, 0), result.row(2, 0), image.area(), rgb);
}

void render(const Source& source, const Plan& plan, int size, RenderScratch& scratch, uint8_t* out) {
  Image& image = scratch.image;
  const bool resized = plan.geometry != GeometryKind::none && plan.geometry != GeometryKind::padded_crop;
  if (resized) {
    decode_resized(source, plan, size, scratch, image);
  } else if (plan.geometry == GeometryKind::padded_crop) {
    decode(source, whole, scratch, scratch.decoded);
    padded_crop(scratch.decoded, plan, size, image);
  } else {
    decode(source, whole, scratch, image);
    if (image.width != size || image.height != size) {
      throw PixelError("image is " + std::to_string(image.width) + " x " + std::to_string(image.height) + " pixels, not " + std::to_string(size) + " x " +
                       std::to_string(size));
    }
  }
  std::memcpy(out, adjust(image, plan, resized, scratch.spare).data, 3 * image.area());
}

}  // namespace dropstream::pixels
