// The kernels of this translation unit's instruction set; table.cc collects them.
#pragma once
#include "kernels/kernels.h"
#include "kernels/simd/simd.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

#if DROPSTREAM_ISA_avx512
constexpr size_t kPanelVectors = 4;
#else
constexpr size_t kPanelVectors = 2;
#endif
constexpr size_t kPanelWidth = kPanelVectors * kLanes;
// Rows of a that stay in the cache while the panels of b pass by: a multiple of every tile height.
constexpr size_t kRowBlock = 48;

// What products of T are packed in: a word is one step over k.
template <class T>
struct WordOf {
  typedef float type;
};
template <>
struct WordOf<bf16> {
  typedef Pair type;
};
template <class Word>
constexpr size_t kSpan = 1;  // elements along k of a word
template <>
constexpr size_t kSpan<Pair> = 2;
template <class Word>
DS_INLINE constexpr size_t steps_of(size_t k) {
  return (k + kSpan<Word> - 1) / kSpan<Word>;
}

// Rows of one slice of a weight gradient, and room for either side of it.
constexpr size_t kWeightGradSlice = 256;
constexpr size_t kWeightGradScratch = kWeightGradSlice * (kPanelWidth > kRowBlock ? kPanelWidth : kRowBlock);

// Depth of one pass: a panel slice of 512 × 64 floats (128 KiB) and 48 rows of a (96 KiB) share the L2 cache.
template <class T>
constexpr size_t kDepthBlock = 512;

size_t packed_floats(size_t k, size_t n, Type type = Type::fp32);
void pack_rows(const PackArgs&, size_t panel_begin, size_t panel_end, size_t row_begin, size_t row_end);
void pack_columns(const PackArgs&, size_t panel_begin, size_t panel_end);
size_t packed_left_floats(size_t k, size_t n, Type type);
void pack_left(const PackArgs&, size_t row_begin, size_t row_end);
void product(const ProductArgs&, size_t row_begin, size_t row_end, size_t panel_begin, size_t panel_end);
void weight_grad(const WeightGradArgs&, size_t m_begin, size_t m_end, size_t panel_begin, size_t panel_end, float* scratch);
size_t attention_scratch(size_t tokens, size_t head_dim, Type type);
size_t attention_grad_scratch(size_t tokens, size_t head_dim, Type type);
void attention(const AttentionArgs&, size_t job_begin, size_t job_end, float* scratch);
void attention_grad(const AttentionArgs&, size_t job_begin, size_t job_end, float* scratch);
size_t window_stride(size_t window);
void window_bias(const float* table, size_t window, size_t heads, size_t head, float* bias);
size_t window_scratch(size_t window, size_t head_dim, Type type);
size_t window_grad_scratch(size_t window, size_t head_dim, Type type);
void window_attention(const WindowArgs&, size_t job_begin, size_t job_end, float* scratch);
void window_attention_grad(const WindowArgs&, size_t samples, size_t job, float* scratch);
void depthwise_conv(const DepthwiseArgs&, size_t row_begin, size_t row_end);
void depthwise_weight_grad(const DepthwiseGradArgs&, size_t sample, size_t channel_begin, size_t channel_end);
void depthwise_weight_sum(const DepthwiseGradArgs&, size_t samples, float* weight, float* bias, size_t channel_begin, size_t channel_end);
void transpose(In x, size_t rows, size_t columns, Out y, size_t row_begin, size_t row_end);
void merge_patches(const MergeArgs&, size_t row_begin, size_t row_end);
void merge_patches_grad(const MergeArgs&, size_t row_begin, size_t row_end);
void layer_scale(In x, const float* gamma, Out y, size_t rows, size_t width);
void layer_scale_grad(const LayerScaleGradArgs&, size_t block);
void layer_norm(const LayerNormArgs&, size_t row_begin, size_t row_end);
void layer_norm_grad(const LayerNormGradArgs&, size_t block);
void cross_entropy(const CrossEntropyArgs&, size_t row_begin, size_t row_end);
void dropout(const DropoutArgs&, size_t sample, size_t begin, size_t end);
void gelu_forward(In x, Out y, size_t n);
void gelu_grad(In x, In dy, Out dx, size_t n);
void add(In a, In b, Out y, size_t n);
void multiply(In a, In b, Out y, size_t n);
void add_scaled(In a, In b, float scale, Out y, size_t n);
void scale(In x, float scale, Out y, size_t n);
void copy(In x, Out y, size_t n);
void sum_samples(const float* x, size_t samples, size_t stride, float* sum, size_t begin, size_t end);
void mean_tokens(In x, size_t tokens, size_t width, Out y);
void patches(const PatchesArgs&, size_t sample);
double sum_squares(const float* x, size_t n);
void update(const UpdateArgs&, size_t begin, size_t end);

DS_INLINE size_t panel_count(size_t n) { return (n + kPanelWidth - 1) / kPanelWidth; }
// Floats a row of panel p takes: its columns rounded up to whole vectors.
DS_INLINE size_t panel_stride(size_t n, size_t p) { return smaller(kPanelWidth, round_up(n - p * kPanelWidth, kLanes)); }

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
