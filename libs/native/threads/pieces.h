// Splits [0, n) into `count` pieces for the threads. Pieces begin at multiples of `step`, and their lengths differ by at most one step; a
// short last piece would leave a thread idle (11 blocks of rows take two threads as long as 12).
#pragma once
#include <algorithm>
#include <cstddef>

#include "kernels/types.h"

namespace dropstream {

struct Pieces {
  size_t n, step, steps, count;

  // At most `max` pieces, none of them empty.
  Pieces(size_t elements, size_t unit, size_t max) : n(elements), step(unit), steps(ceil_div(n, step)), count(std::min(steps, max)) {}

  // The beginning of piece i; begin(count) is n.
  size_t begin(size_t i) const { return std::min(n, steps * i / count * step); }
};

}  // namespace dropstream
