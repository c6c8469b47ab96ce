#include "jpeg/plain.h"

#include <algorithm>
#include <cstring>

namespace dropstream::pixels {
namespace {

// For one axis: the samples [from, to) that pixels [first, last] need of a component subsampled by `factor`, with one more on each side if
// it is smoothed.
struct Range {
  int from, to;
};
Range samples_for(int first, int last, int factor, int size) {
  if (factor == 1) return {first, last + 1};
  return {std::max(0, first / factor - 1), std::min(size, last / factor + 2)};
}

// Extends a row of a component by copies of its last samples, so that a neighbour beyond the edge equals the edge.
class Rows {
 public:
  Rows(const PlainJpeg& jpeg, const Window& window, std::vector<uint8_t>& memory) : jpeg_(jpeg), window_(window) {
    width_ = static_cast<size_t>(window.width) + 3 * kMargin;
    if (memory.size() < 6 * width_) memory.resize(6 * width_);
    memory_ = memory.data();
  }

  // The chroma row for pixel row y, beginning with the pixel column window.left. It is valid until the next call for the same component.
  const uint8_t* chroma(int index, int y) {
    const PlainComponent& component = jpeg_.component[index];
    const int row = y / jpeg_.v;
    const int other = jpeg_.v == 1 ? row : std::clamp(row + (y % 2 == 0 ? -1 : 1), 0, component.height - 1);
    const PixelKernels& kernels = pixel_kernels();
    uint8_t* const buffer = memory_ + static_cast<size_t>(3 * (index - 1)) * width_;
    if (jpeg_.h == 1) {
      const uint8_t* near = row_of(component, row) + window_.left - component.left;
      if (jpeg_.v == 1) return near;
      kernels.blend_chroma_rows(near, row_of(component, other) + window_.left - component.left, y % 2 == 0 ? 1 : 2, window_.width, buffer);
      return buffer;
    }
    const int first = window_.left / 2, count = (window_.left + window_.width - 1) / 2 - first + 1;
    const uint8_t* near = with_edges(component, row, first, count, buffer);
    const uint8_t* far = jpeg_.v == 1 ? nullptr : with_edges(component, other, first, count, buffer + width_);
    uint8_t* const wide = buffer + 2 * width_;
    kernels.widen_chroma_row(near, far, count, wide);
    return wide + window_.left % 2;
  }

 private:
  static constexpr size_t kMargin = 64;

  static const uint8_t* row_of(const PlainComponent& component, int row) {
    return component.data + static_cast<size_t>(row - component.top) * component.stride;
  }

  // Samples [first − 1, first + count] of a row, with the outermost ones repeated beyond the image. Returns the position of `first`.
  const uint8_t* with_edges(const PlainComponent& component, int row, int first, int count, uint8_t* buffer) const {
    const uint8_t* from = row_of(component, row);
    uint8_t* const to = buffer + 1;
    std::memcpy(to, from + first - component.left, static_cast<size_t>(count));
    to[-1] = first == 0 ? to[0] : from[first - 1 - component.left];
    to[count] = first + count == component.width ? to[count - 1] : from[first + count - component.left];
    return to;
  }

  const PlainJpeg& jpeg_;
  const Window window_;
  size_t width_;
  uint8_t* memory_;
};

}  // namespace

void PlainScratch::trim(size_t max) {
  for (std::vector<uint8_t>* bytes : {&scan.bytes, &samples, &rows}) {
    if (bytes->size() > max) std::vector<uint8_t>().swap(*bytes);
  }
}

bool decode_plain_jpeg(Bytes file, int declared_width, int declared_height, const ChooseWindow& choose, Image& out, PlainScratch& scratch) {
  if (!read_plain_headers(file, scratch)) return false;
  PlainJpeg& jpeg = scratch.jpeg;
  check_dimensions(jpeg.width, jpeg.height);
  check_declared(declared_width, declared_height, jpeg.width, jpeg.height);
  const Window window = choose(jpeg.width, jpeg.height);
  if (!read_plain_scan(scratch)) return false;

  const Range columns = samples_for(window.left, window.left + window.width - 1, jpeg.h, jpeg.component[jpeg.components - 1].width);
  const Range rows = samples_for(window.top, window.top + window.height - 1, jpeg.v, jpeg.component[jpeg.components - 1].height);
  ScanJob job{&jpeg,         scratch.dc,        scratch.ac,       scratch.scan.bytes.data(), scratch.scan.ends.data(), scratch.scan.ends.size(),
              rows.from / 8, (rows.to - 1) / 8, columns.from / 8, (columns.to - 1) / 8};
  // A block takes at least two bits, so a header that promises more blocks than the scan can hold gets no memory.
  const size_t blocks = static_cast<size_t>(jpeg.h * jpeg.v + (jpeg.components == 1 ? 0 : 2));
  const size_t bits = 8 * scratch.scan.ends.back();
  if (2 * blocks * static_cast<size_t>(jpeg.mcus_per_row) * static_cast<size_t>(job.last_row) > bits) return false;
  const size_t mcus_per_row = static_cast<size_t>(job.last_column - job.first_column + 1), mcu_rows = static_cast<size_t>(job.last_row - job.first_row + 1);
  size_t size = kReadSlack;
  for (int c = 0; c < jpeg.components; c++) size += 64 * mcus_per_row * mcu_rows * static_cast<size_t>(jpeg.component[c].h * jpeg.component[c].v);
  if (scratch.samples.size() < size) scratch.samples.resize(size);
  uint8_t* data = scratch.samples.data();
  for (int c = 0; c < jpeg.components; c++) {
    PlainComponent& component = jpeg.component[c];
    component.data = data;
    component.stride = 8 * mcus_per_row * static_cast<size_t>(component.h);
    component.left = 8 * job.first_column * component.h;
    component.top = 8 * job.first_row * component.v;
    data += component.stride * 8 * mcu_rows * static_cast<size_t>(component.v);
  }
  const PixelKernels& kernels = pixel_kernels();
  if (!kernels.decode_scan(job)) return false;

  out.reshape(window.width, window.height);
  Rows chroma(jpeg, window, scratch.rows);
  for (int y = 0; y < window.height; y++) {
    const PlainComponent& first = jpeg.component[0];
    const uint8_t* luma = first.data + static_cast<size_t>(window.top + y - first.top) * first.stride + window.left - first.left;
    if (jpeg.components == 1) {
      for (int c = 0; c < 3; c++) std::memcpy(out.row(c, y), luma, static_cast<size_t>(window.width));
    } else {
      kernels.ycc_row(luma, chroma.chroma(1, window.top + y), chroma.chroma(2, window.top + y), window.width, out.row(0, y), out.row(1, y), out.row(2, y));
    }
  }
  return true;
}

}  // namespace dropstream::pixels
