// Declares the kernels of the instruction set that this translation unit is compiled for. table.cc collects them.
#pragma once
#include "kernels/kernels.h"
#include "simd/simd.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

#if DS_REGISTERS == 32
constexpr size_t kPanelVectors = 4;
#else
constexpr size_t kPanelVectors = 2;
#endif
constexpr size_t kPanelWidth = kPanelVectors * kLanes;
// The number of rows of a that stay in the cache while all panels of b are processed: a multiple of every tile height.
constexpr size_t kRowBlock = 48;

// How products of T are packed: a word is one step along k.
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
inline constexpr size_t kSpan<Pair> = 2;
template <class Word>
DS_INLINE constexpr size_t steps_of(size_t k) {
  return ceil_div(k, kSpan<Word>);
}

// The number of rows in one slice of a weight gradient, and the memory for a slice of either operand.
constexpr size_t kWeightGradSlice = 256;
constexpr size_t kWeightGradScratch = kWeightGradSlice * (kPanelWidth > kRowBlock ? kPanelWidth : kRowBlock);

// The depth of one pass: a panel slice of 512 × 64 floats (128 KiB) and 48 rows of a (96 KiB) fit in the L2 cache together.
template <class T>
constexpr size_t kDepthBlock = 512;

// Hidden, because a shared library links although a visible function has no definition, and fails only where it is loaded.
#define FUNCTION(result, name, parameters) __attribute__((visibility("hidden"))) result name parameters;
#include "kernels/functions.def"

DS_INLINE size_t panel_count(size_t n) { return ceil_div(n, kPanelWidth); }
// The number of floats in a row of panel p: its columns, rounded up to whole vectors.
DS_INLINE size_t panel_stride(size_t n, size_t p) { return min(kPanelWidth, round_up(n - p * kPanelWidth, kLanes)); }

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
