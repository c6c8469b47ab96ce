// Rows read backwards, 16 bytes at a time.
#include "vector/lanes.h"
#include "vector/declare.h"

namespace dropstream::pixels {
namespace DROPSTREAM_PIXELS {

void mirror(const Planes& source, const Planes& out) {
  for (int c = 0; c < 3; c++) {
    for (int y = 0; y < out.height; y++) {
      const uint8_t* from = source.row(c, y);
      uint8_t* to = out.row(c, y);
      int x = 0;
      for (; x + kLanes <= out.width; x += kLanes) {
        const auto bytes = load<Bytes16>(from + x);
        store(to + out.width - kLanes - x, __builtin_shufflevector(bytes, bytes, 15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
      }
      for (; x < out.width; x++) to[out.width - 1 - x] = from[x];
    }
  }
}

}  // namespace DROPSTREAM_PIXELS
}  // namespace dropstream::pixels
