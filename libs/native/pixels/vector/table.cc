#include "vector/declare.h"

namespace dropstream::pixels {
namespace DROPSTREAM_ISA {

#define DS_TEXT_OF(x) #x
#define DS_TEXT(x) DS_TEXT_OF(x)

const PixelKernels& pixel_table() {
  static const PixelKernels table = [] {
    PixelKernels t{};
    t.isa = DS_TEXT(DROPSTREAM_ISA);
    t.resample_horizontally = resample_horizontally;
    t.resample_vertically = resample_vertically;
    t.mirror = mirror;
    t.decode_scan = decode_scan;
    t.ycc_row = ycc_row;
    t.blend_chroma_rows = blend_chroma_rows;
    t.widen_chroma_row = widen_chroma_row;
    t.transform = transform;
    t.look_up = look_up;
    t.blend_luma = blend_luma;
    t.luma_sum = luma_sum;
    t.sharpen = sharpen;
    t.look_up_floats = look_up_floats;
    t.mix_floats = mix_floats;
    t.round_to_bfloat16 = round_to_bfloat16;
    t.noise = noise;
    return t;
  }();
  return table;
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream::pixels
