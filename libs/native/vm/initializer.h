// What a parameter starts from (Initializer of libs/nn/tensor.ts).
#pragma once

namespace dropstream {

struct Initializer {
  enum class Kind { constant, normal, uniform } kind = Kind::constant;
  double value = 0;  // itself, the standard deviation, or the bound
};

}  // namespace dropstream
