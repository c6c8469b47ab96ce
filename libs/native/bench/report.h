// Prints one line of the benchmark: a JSON object, which bench:kernels shows next to the peak rates of the machine.
#pragma once
#include <cstdio>
#include <string>

#include "kernels/types.h"

namespace dropstream::bench {

// A kernel at a shape, on values of `type`, took `seconds` for `flop` floating-point operations (a multiply-add counts as two) and `bytes`
// read and written. 0 means that this does not limit the kernel.
inline void report(const char* isa, const std::string& kernel, const std::string& shape, Type type, double seconds, double flop, double bytes) {
  printf("{\"isa\": \"%s\", \"kernel\": \"%s\", \"shape\": \"%s\", \"type\": \"%s\", \"us\": %.3f, \"gflops\": %.2f, \"gb_per_s\": %.2f, \"bytes\": %.0f}\n",
         isa, kernel.c_str(), shape.c_str(), type == Type::fp32 ? "fp32" : "bf16", seconds * 1e6, flop / seconds / 1e9, bytes / seconds / 1e9, bytes);
  fflush(stdout);
}

}  // namespace dropstream::bench
