// Reverses rows, 16 bytes at a time.
#include "vector/declare.h"

namespace dropstream::pixels {
namespace DROPSTREAM_ISA {

void mirror(const Planes& source, const Planes& out) {
  for (int c = 0; c < 3; c++) {
    for (int y = 0; y < out.height; y++) {
      const uint8_t* from = source.row(c, y);
      uint8_t* to = out.row(c, y);
      int x = 0;
      for (; x + kPixels <= out.width; x += kPixels) {
        const auto bytes = load<Bytes16>(from + x);
        store(to + out.width - kPixels - x, __builtin_shufflevector(bytes, bytes, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
      }
      for (; x < out.width; x++) to[out.width - 1 - x] = from[x];
    }
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream::pixels
