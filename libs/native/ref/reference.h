// The definition of every kernel as plain loops in double, written directly from the formulas. It is slow but obvious, and tests compare
// with it.
#pragma once
#include <cstddef>
#include <cstdint>
#include <vector>

#include "kernels/kernels.h"

namespace dropstream::ref {

using Values = std::vector<double>;

double gelu(double x);
double gelu_slope(double x);

// c[m, n] = a[m, k] · b[k, n]; magnitude[m, n] = |a| · |b|, to which rounding errors are proportional.
struct Product {
  Values c, magnitude;
};
Product product(size_t m, size_t k, size_t n, const Values& a, const Values& b);
Values transpose(size_t rows, size_t columns, const Values& x);

struct LayerNorm {
  Values y, mean, rstd, dx, dweight, dbias;
};
LayerNorm layer_norm(size_t rows, size_t width, double eps, const Values& x, const Values& weight, const Values& bias, const Values& dy);

// factors[s][head][query][key] are 1 if dropout is off.
struct Attention {
  Values out, lse, dqkv;
};
Attention attention(size_t samples, size_t tokens, size_t heads, size_t head_dim, double scale, const Values& qkv, const Values& factors, const Values& dout);

struct CrossEntropy {
  Values loss, dlogits;
};
CrossEntropy cross_entropy(size_t rows, size_t classes, const Values& logits, const Values& targets, double scale);

// One word of Philox 4x32-10, by the counter rule of StepRandomness (libs/engine/executable.ts).
uint32_t dropout_word(uint64_t seed, uint32_t site, uint32_t sample, uint32_t step, uint64_t element);

}  // namespace dropstream::ref
