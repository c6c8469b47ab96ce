// Standard normal values by inversion: Wichura's AS 241 in float64 over our own logarithm, so that the bits are the same on every machine.
// Operation by operation the functions of libs/random/normal.ts and libs/random/elementary.ts.
#pragma once
#include <cstddef>

namespace dropstream {

// The x with Φ(x) = p, for a normal p strictly inside (0, 1).
double normal_quantile(double p);

// The same for `count` values in place, several times as fast.
void normal_quantiles(double* p, size_t count);

}  // namespace dropstream
