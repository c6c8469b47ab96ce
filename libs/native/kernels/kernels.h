// What a kernel is called with. Kernels are pure functions on ranges: no threads, no allocation, no globals, no Node-API. The virtual
// machine splits the ranges over threads, and only along axes that share no sum; so bits never depend on the number of threads.
// All matrices are row-major; sizes and strides count elements. `float*` is fp32 always, In and Out are fp32 or bf16.
#pragma once
#include <cstddef>
#include <cstdint>

#include "kernels/types.h"

namespace dropstream {

// Random elements of one dropout site at one step: kept where Philox(key; element >> 2, sample, site, step)[element & 3] ≤ limit,
// or, for tests, where the mask's byte is not 0.
struct DropoutSite {
  bool on = false;
  uint32_t key0 = 0, key1 = 0;
  uint32_t site = 0, step = 0;
  uint32_t limit = 0;            // ⌈(1 − p)·2³²⌉ − 1
  float scale = 1;               // 1 / (1 − p)
  const uint8_t* mask = nullptr; // [samples of the step][elements]
  size_t elements = 0;           // per sample
};

// Which samples the rows of a chunk's domain are: sample i stands for counter word `first_counter + index[i]` and mask row `first_row + index[i]`.
struct Samples {
  const uint32_t* index = nullptr;
  uint32_t first_counter = 0;
  size_t first_row = 0;
};

// A matrix B[k][n] for products, cut into panels of up to panel_width columns; panel p is [k][its width rounded up to whole vectors], or,
// where packed is bf16, [⌈k/2⌉][that width] Pairs (the second of an odd k's last pair is 0). fp32 is rounded on the way; bf16 into fp32 is
// not offered.
struct PackArgs {
  size_t k, n;
  In source;
  size_t stride;
  Out packed;
};

enum class Epilogue { none, gelu, times_side };

// c[m, n] = (c +) a[m, k] · b[k, n] (+ bias[n]), then the epilogue. a is read in place: a(i, p) = a[i·stride + p], or, k-major, a[p·stride + i],
// which for bf16 is in Pairs: [⌈k/2⌉][stride]. Products of bf16 are exact, sums fp32; a bf16 c is rounded once, after the epilogue.
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
  Out side;  // stride as c
};

// weight[m, n] (+)= dy[r, m]ᵀ · x[r, n];  bias[m] += Σ_r dy[r, m] (may be null). One side is packed for all jobs, the other by every job for
// itself, a slice of rows at a time: dy and x_packed (pack_rows with k = r), or x and dy_packed (pack_left with k = r). All of one type.
struct WeightGradArgs {
  size_t r, m, n;
  In dy;
  In x_packed;
  float* weight;
  float* bias;
  In x = nullptr;
  In dy_packed = nullptr;
  bool accumulate = true;  // weight; the bias always
};

struct LayerNormArgs {
  size_t width;
  float eps;
  In x;
  const float *weight, *bias;
  Out y;
  float *mean, *rstd;
};

// dx per row; partial[block][2][width] takes the sums for weight and bias over rows [block·rows_per_block, …).
struct LayerNormGradArgs {
  size_t rows, width, rows_per_block;
  In x;
  const float *weight, *mean, *rstd;
  In dy;
  Out dx;
  float* partial;
};

// qkv[s][token][3][heads][head_dim] → out[s][token][heads][head_dim], lse[s][heads][token]. One job is one head of one sample: job = s·heads + h.
// qkv, out, dout and dqkv are of one type. Where that is bf16: scores, softmax and sums are fp32; probabilities and their gradients are
// rounded on their way into the second products.
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

// Attention inside windows of a map that is rolled by −shift: qkv[s][token][3][heads][head_dim] → out[s][token][heads][head_dim],
// lse[s][window][head][place]. bias: from window_bias, one per head. Types as in AttentionArgs.
struct WindowArgs {
  size_t height, width, window, shift, heads, head_dim;
  float scale;
  In qkv;
  const float* bias;  // [heads][window²][window_stride]
  Out out;
  float* lse;
  In dout;            // backward
  Out dqkv;           // backward
  float* partial;     // backward: [groups of windows_per_partial windows][(2·window − 1)²][heads]
  size_t windows_per_partial;
  DropoutSite site;
  Samples samples;
};

// y[s][token][channel] = bias + Σ taps. turned: the taps in reverse order, which makes it the input gradient.
struct DepthwiseArgs {
  size_t height, width, channels, kernel;
  bool turned;
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

// dx per row; partial[block][width] takes the sum for gamma over rows [block·rows_per_block, …).
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

// One parameter's share of the optimizer step, all scalars already rounded to fp32 from float64.
struct UpdateArgs {
  OptimizerKind kind;
  float* weight;
  const float* gradient;
  float* first;
  float* second;
  float* ema;  // null: none
  float clip_factor;
  float decay;        // adamw: 1 − lr·wd;  others: wd
  float step_size;    // adamw: lr / (1 − β1^t);  others: lr
  float beta1, one_minus_beta1, beta2, one_minus_beta2;
  float second_scale; // √(1 − β2^t)
  float eps;
  float momentum;
  bool first_step;    // momentum buffer = gradient
  float ema_decay, one_minus_ema_decay;
};

struct KernelTable {
  const char* isa;
  size_t panel_width;
  size_t lanes;

  // Floats of memory for a packed B[k][n], and the packers: from B itself (rows) or from its transpose (columns: source[n][k]).
  // row_begin must be even where packed is bf16.
  size_t (*packed_floats)(size_t k, size_t n, Type type);
  void (*pack_rows)(const PackArgs&, size_t panel_begin, size_t panel_end, size_t row_begin, size_t row_end);
  void (*pack_columns)(const PackArgs&, size_t panel_begin, size_t panel_end);
  // A matrix of k rows as the k-major left side of weight_grad: blocks of weight_grad_rows columns, each in words as a panel. Null: not offered.
  size_t (*packed_left_floats)(size_t k, size_t n, Type type);
  void (*pack_left)(const PackArgs&, size_t row_begin, size_t row_end);
  void (*product)(const ProductArgs&, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end);
  // A multiple of a tile's rows: jobs of a product are cut there.
  size_t product_rows;
  // m_end − m_begin ≤ weight_grad_rows, or, with dy_packed, any multiples of weight_grad_rows but for the last; scratch of weight_grad_scratch floats.
  size_t weight_grad_rows, weight_grad_scratch;
  void (*weight_grad)(const WeightGradArgs&, size_t m_begin, size_t m_end, size_t panel_begin, size_t panel_end, float* scratch);

  size_t (*attention_scratch)(size_t tokens, size_t head_dim, Type type);
  size_t (*attention_grad_scratch)(size_t tokens, size_t head_dim, Type type);
  void (*attention)(const AttentionArgs&, size_t job_begin, size_t job_end, float* scratch);
  void (*attention_grad)(const AttentionArgs&, size_t job_begin, size_t job_end, float* scratch);

  // Floats of a row of window_bias's table for one head, and that table's maker: bias[window²][window_stride].
  size_t (*window_stride)(size_t window);
  void (*window_bias)(const float* table, size_t window, size_t heads, size_t head, float* bias);
  size_t (*window_scratch)(size_t window, size_t head_dim, Type type);
  size_t (*window_grad_scratch)(size_t window, size_t head_dim, Type type);
  // One job is one head of one window: job = (s·windows + window)·heads + head.
  void (*window_attention)(const WindowArgs&, size_t job_begin, size_t job_end, float* scratch);
  // One job is one head of one group of windows: job = group·heads + head.
  void (*window_attention_grad)(const WindowArgs&, size_t samples, size_t job, float* scratch);

  // Rows of the maps of all samples: s·height + row.
  void (*depthwise_conv)(const DepthwiseArgs&, size_t row_begin, size_t row_end);
  void (*depthwise_weight_grad)(const DepthwiseGradArgs&, size_t sample, size_t channel_begin, size_t channel_end);
  // weight[channel][kernel²] += Σ partials, bias[channel] += the same, samples in order.
  void (*depthwise_weight_sum)(const DepthwiseGradArgs&, size_t samples, float* weight, float* bias, size_t channel_begin, size_t channel_end);

  void (*transpose)(In x, size_t rows, size_t columns, Out y, size_t row_begin, size_t row_end);
  // Rows of the merged maps of all samples: s·height/2 + row.
  void (*merge_patches)(const MergeArgs&, size_t row_begin, size_t row_end);
  void (*merge_patches_grad)(const MergeArgs&, size_t row_begin, size_t row_end);
  void (*layer_scale)(In x, const float* gamma, Out y, size_t rows, size_t width);
  void (*layer_scale_grad)(const LayerScaleGradArgs&, size_t block);

  void (*layer_norm)(const LayerNormArgs&, size_t row_begin, size_t row_end);
  void (*layer_norm_grad)(const LayerNormGradArgs&, size_t block);
  void (*cross_entropy)(const CrossEntropyArgs&, size_t row_begin, size_t row_end);
  void (*dropout)(const DropoutArgs&, size_t sample, size_t begin, size_t end);

  void (*gelu)(In x, Out y, size_t n);
  void (*gelu_grad)(In x, In dy, Out dx, size_t n);
  void (*add)(In a, In b, Out y, size_t n);
  void (*multiply)(In a, In b, Out y, size_t n);
  void (*add_scaled)(In a, In b, float scale, Out y, size_t n);  // a + scale·b
  void (*scale)(In x, float scale, Out y, size_t n);
  void (*copy)(In x, Out y, size_t n);
  // sum[e] += Σ_s x[s·stride + e], s ascending.
  void (*sum_samples)(const float* x, size_t samples, size_t stride, float* sum, size_t begin, size_t end);
  void (*mean_tokens)(In x, size_t tokens, size_t width, Out y);
  void (*patches)(const PatchesArgs&, size_t sample);

  double (*sum_squares)(const float* x, size_t n);
  void (*update)(const UpdateArgs&, size_t begin, size_t end);
};

}  // namespace dropstream
