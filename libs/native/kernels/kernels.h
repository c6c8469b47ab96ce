// The arguments of kernels. Kernels are pure functions on ranges, without threads, allocation, globals or Node-API. The virtual machine
// splits the ranges over threads, and only along axes that share no sum, so the number of threads never changes a bit of the result. All
// matrices are row-major; sizes and strides count elements. `float*` is always fp32, In and Out are fp32 or bf16.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/types.h"

namespace dropstream {

// The random elements of one dropout site in one step. An element is kept if Philox(key; element >> 2, sample, site, step)[element & 3] ≤
// limit or, in tests, if its byte in the mask is not 0.
struct DropoutSite {
  bool on = false;
  uint32_t key0 = 0, key1 = 0;
  uint32_t site = 0, step = 0;
  uint32_t limit = 0;             // ⌈(1 − p)·2³²⌉ − 1
  float scale = 1;                // 1 / (1 − p)
  const uint8_t* mask = nullptr;  // [samples of the step][elements]
  size_t elements = 0;            // per sample
};

// Maps the rows of a chunk's domain to samples: sample i has counter word `first_counter + index[i]` and mask row `first_row + index[i]`.
struct Samples {
  const uint32_t* index = nullptr;
  uint32_t first_counter = 0;
  size_t first_row = 0;
};

// A matrix B[k][n] packed for products, in panels of up to panel_width columns. Panel p is [k][its width, rounded up to whole vectors]. If
// packed is bf16, it is [⌈k/2⌉][that width] Pairs, and for an odd k the second half of the last pair is 0. Packing rounds fp32 to bf16; it
// cannot convert bf16 to fp32.
struct PackArgs {
  size_t k, n;
  In source;
  size_t stride;
  Out packed;
};

enum class Epilogue { none, gelu, times_side };

// c[m, n] = (c +) a[m, k] · b[k, n] (+ bias[n]), followed by the epilogue. a is read in place: a(i, p) = a[i·stride + p] or, if k-major,
// a[p·stride + i], which for bf16 is stored in Pairs: [⌈k/2⌉][stride]. Products of bf16 are exact and sums are fp32. If c is bf16, it is
// rounded once, after the epilogue.
//   gelu: c = gelu(sum), side[m, n] = gelu'(sum) (side may be null);   times_side: c = sum · side.
struct ProductArgs {
  size_t m, k, n;
  In a;
  size_t a_stride;
  bool a_k_major;
  In b;  // packed, of a's type
  Out c;
  size_t c_stride;
  bool accumulate;  // c must be fp32
  const float* bias;
  Epilogue epilogue;
  Out side;  // has the stride of c
  // c is new memory that is kept for the backward pass, so its lines are in no cache: they may be written without reading them first.
  bool kept = false;
};

// weight[m, n] (+)= dy[r, m]ᵀ · x[r, n];  bias[m] += Σ_r dy[r, m] (bias may be null). One operand is packed beforehand for all jobs; every
// job packs its part of the other one itself, a slice of rows at a time. So either dy and x_packed (from pack_rows with k = r) or x and
// dy_packed (from pack_left with k = r) are given. All have the same type. If the table's weight_grad_packs_both is set and they are bf16,
// every job packs its part of both, and dy and x are given.
struct WeightGradArgs {
  size_t r, m, n;
  In dy;
  In x_packed;
  float* weight;
  float* bias;
  In x = nullptr;
  In dy_packed = nullptr;
  bool accumulate = true;  // applies to weight; bias always accumulates
};

struct LayerNormArgs {
  size_t width;
  float eps;
  In x;
  const float *weight, *bias;
  Out y;
  float *mean, *rstd;
};

// Computes dx row by row. partial[block][2][width] receives the sums for weight and bias over rows [block·rows_per_block, …).
struct LayerNormGradArgs {
  size_t rows, width, rows_per_block;
  In x;
  const float *weight, *mean, *rstd;
  In dy;
  Out dx;
  float* partial;
};

// qkv[s][token][3][heads][head_dim] → out[s][token][heads][head_dim], lse[s][heads][token]. One job is one head of one sample: job =
// s·heads + h. qkv, out, dout and dqkv have the same type. If it is bf16, scores, softmax and sums are still fp32, and probabilities and
// their gradients are rounded before the second products.
struct AttentionArgs {
  size_t tokens, heads, head_dim;
  float scale;
  In qkv;
  Out out;
  float* lse;
  In dout;   // backward
  Out dqkv;  // backward
  DropoutSite site;
  Samples samples;
};

// Attention inside the windows of a map that is rolled by −shift: qkv[s][token][3][heads][head_dim] → out[s][token][heads][head_dim],
// lse[s][window][head][place]. The bias of every head comes from window_bias. The types are as in AttentionArgs.
struct WindowArgs {
  size_t height, width, window, shift, heads, head_dim;
  float scale;
  In qkv;
  const float* bias;  // [heads][window²][window_stride], from window_bias
  Out out;
  float* lse;
  In dout;         // backward
  Out dqkv;        // backward
  float* partial;  // backward: [groups of windows_per_partial windows][(2·window − 1)²][heads]
  size_t windows_per_partial;
  DropoutSite site;
  Samples samples;
};

// y[s][token][channel] = bias + Σ taps. flipped: the taps in reverse order, which makes it the input gradient.
struct DepthwiseArgs {
  size_t height, width, channels, kernel;
  bool flipped;
  In x;
  const float* weight;  // [kernel²][channels]
  const float* bias;    // may be null
  Out y;
};

// partial[s][kernel² taps, then the bias][channels].
struct DepthwiseGradArgs {
  size_t height, width, channels, kernel;
  In x, dy;
  float* partial;
};

// order 0: columns (c, dy, dx);  1: (dx, dy, c). The map [s][height·width][channels] is `from` in the forward direction, `to` in the other.
struct MergeArgs {
  size_t height, width, channels, order;
  In from;
  Out to;
};

// Computes dx row by row. partial[block][width] receives the sum for gamma over rows [block·rows_per_block, …).
struct LayerScaleGradArgs {
  size_t rows, width, rows_per_block;
  In x;
  const float* gamma;
  In dy;
  Out dx;
  float* partial;
};

struct CrossEntropyArgs {
  size_t classes;
  const float *logits, *targets;
  float* loss;
  Out dlogits;  // may be null
  float scale;
};

struct DropoutArgs {
  size_t elements;  // per sample
  In x;
  Out y;
  DropoutSite site;
  Samples samples;
};

struct PatchesArgs {
  size_t channels, height, width, patch;
  const float* images;
  Out y;
};

enum class OptimizerKind { adamw, sgd, momentum };

// The part of an optimizer step that concerns one parameter. All scalars have been rounded from float64 to fp32.
struct UpdateArgs {
  OptimizerKind kind;
  float* weight;
  const float* gradient;
  float* first;
  float* second;
  float* ema;  // null: none
  float clip_factor;
  float decay;      // adamw: 1 − lr·wd;  others: wd
  float step_size;  // adamw: lr / (1 − β1^t);  others: lr
  float beta1, one_minus_beta1, beta2, one_minus_beta2;
  float second_scale;  // √(1 − β2^t)
  float eps;
  float momentum;
  bool first_step;  // momentum buffer = gradient
  float ema_decay, one_minus_ema_decay;
};

struct KernelTable {
  const char* isa;
  size_t panel_width;
  size_t lanes;
  // A multiple of the rows of a tile; products are split into jobs at its multiples.
  size_t product_rows;
  size_t weight_grad_rows, weight_grad_scratch;
  bool weight_grad_packs_both;  // of bf16; columns of x then begin and end at multiples of panel_width, too
#define FUNCTION(result, name, parameters) result(*name) parameters;
#include "kernels/functions.def"
};

}  // namespace dropstream
