// Plans as numbers: the form in which the TypeScript side (plan-record.ts) passes plans to this library, which checks their bounds.
//
// A render record consists of these numbers, all float64:
//   format (0 jpeg, 1 png scanlines, 2 rgb, 3 gray), width, height, PNG bit depth, colour type, interlaced,
//   geometry (0 none, 1 resized_crop, 2 padded_crop, 3 resize_center_crop, 4 warp), top, left, height, width, padding,
//   resize width, resize height, interpolation (0 bilinear, 1 bicubic), flip, fill R, G, B, number of operations,
//   then per operation: kind (order of OpKind), argument, interpolation.
// A finish record: slot, number of erase boxes, λ, partner, has box, box top, left, height, width,
//   then per erase box: top, left, height, width, mode (0 const, 1 rand, 2 pixel), key 0, key 1, box number.
#pragma once
#include <cstddef>
#include <vector>

#include "finish.h"
#include "render.h"

namespace dropstream::pixels {

// A record that does not follow the layout, which is a mistake of the caller and not of an image.
struct RecordError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

class RecordReader {
 public:
  RecordReader(const double* values, size_t count) : values_(values), count_(count) {}
  double number(const char* field);
  int integer(const char* field, double low, double high);
  uint32_t word(const char* field);
  bool at_end() const { return at_ == count_; }

 private:
  const double* values_;
  size_t count_, at_ = 0;
};

struct RenderRecord {
  Source source;  // bytes and palette still to be set
  Plan plan;
};

RenderRecord read_render_record(RecordReader& reader);
FinishSample read_finish_record(RecordReader& reader);

}  // namespace dropstream::pixels
