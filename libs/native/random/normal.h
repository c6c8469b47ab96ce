// Standard normal values by inversion: Wichura's AS 241 in float64 with our own logarithm, so that the bits are the same on every machine.
// Operation by operation these are the functions of libs/random/normal.ts and libs/random/elementary.ts.
#pragma once
#include <cstddef>

namespace dropstream {

// The x with Φ(x) = p, for a p that is strictly inside (0, 1) and not denormal.
double normal_quantile(double p);

// The same for `count` values in place, which is several times as fast.
void normal_quantiles(double* p, size_t count);

}  // namespace dropstream
