// The image that every pixel operation works on: three planes of uint8 (R, G, B), with rows without padding.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels.h"

namespace dropstream::pixels {

constexpr int64_t kMaxArea = 64'000'000;  // pixels of a source image; larger images are rejected before memory is allocated
constexpr int kMaxSide = 65535;
constexpr int kMaxOutputSide = 4096;

// A bad image, or a plan that does not fit it. The message becomes the reason in the outcome.
struct PixelError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct Bytes {
  const uint8_t* data = nullptr;
  size_t size = 0;
};

struct Window {
  int top = 0, left = 0, height = 0, width = 0;
};

class Image {
 public:
  int width = 0, height = 0;

  // The contents are undefined afterwards. Memory grows, and is kept for the next image.
  void reshape(int new_width, int new_height) {
    width = new_width;
    height = new_height;
    const size_t needed = 3 * area() + kReadSlack;
    if (bytes_.size() < needed) bytes_.resize(needed);
  }
  size_t area() const { return static_cast<size_t>(width) * static_cast<size_t>(height); }
  uint8_t* plane(int channel) { return bytes_.data() + static_cast<size_t>(channel) * area(); }
  const uint8_t* plane(int channel) const { return bytes_.data() + static_cast<size_t>(channel) * area(); }
  uint8_t* row(int channel, int y) { return plane(channel) + static_cast<size_t>(y) * static_cast<size_t>(width); }
  const uint8_t* row(int channel, int y) const { return plane(channel) + static_cast<size_t>(y) * static_cast<size_t>(width); }
  Planes planes() { return {plane(0), static_cast<size_t>(width), area(), width, height}; }
  size_t capacity() const { return bytes_.size(); }
  void release() { std::vector<uint8_t>().swap(bytes_); }

 private:
  std::vector<uint8_t> bytes_;
};

// Throws unless an image of width × height may be decoded.
inline void check_dimensions(int64_t width, int64_t height) {
  if (width < 1 || height < 1 || width > kMaxSide || height > kMaxSide || width * height > kMaxArea) {
    throw PixelError("image of " + std::to_string(width) + " x " + std::to_string(height) + " pixels: sides must be 1 to " + std::to_string(kMaxSide) +
                     ", the area at most " + std::to_string(kMaxArea));
  }
}

// Throws unless the declared size of a source (0 = unknown) equals the decoded size.
inline void check_declared(int declared_width, int declared_height, int width, int height) {
  if ((declared_width != 0 && declared_width != width) || (declared_height != 0 && declared_height != height)) {
    throw PixelError("image is " + std::to_string(width) + " x " + std::to_string(height) + " pixels, declared " + std::to_string(declared_width) + " x " +
                     std::to_string(declared_height));
  }
}

// The window itself, or the whole image if the window is empty. Throws if it leaves the image.
inline Window window_within(const Window& window, int width, int height) {
  if (window.width == 0 && window.height == 0) return {0, 0, height, width};
  if (window.width < 1 || window.height < 1 || window.top < 0 || window.left < 0 || window.width > width || window.height > height ||
      window.top > height - window.height || window.left > width - window.width) {
    throw PixelError("crop (top " + std::to_string(window.top) + ", left " + std::to_string(window.left) + ", height " + std::to_string(window.height) +
                     ", width " + std::to_string(window.width) + ") leaves the image of " + std::to_string(width) + " x " + std::to_string(height) + " pixels");
  }
  return window;
}

// Chooses which part of an image of this size to decode. Throws PixelError to reject the image.
using ChooseWindow = std::function<Window(int width, int height)>;

// Splits interleaved RGB pixels into three plane rows.
inline void deinterleave(const uint8_t* __restrict rgb, int count, uint8_t* __restrict r, uint8_t* __restrict g, uint8_t* __restrict b) {
  for (int x = 0; x < count; x++) {
    r[x] = rgb[3 * x];
    g[x] = rgb[3 * x + 1];
    b[x] = rgb[3 * x + 2];
  }
}

inline void interleave(const uint8_t* __restrict r, const uint8_t* __restrict g, const uint8_t* __restrict b, size_t count, uint8_t* __restrict rgb) {
  for (size_t x = 0; x < count; x++) {
    rgb[3 * x] = r[x];
    rgb[3 * x + 1] = g[x];
    rgb[3 * x + 2] = b[x];
  }
}

}  // namespace dropstream::pixels
