// The vectorised inner loops of the pixel library: pure functions on planes, one table per instruction set, equal bytes from each.
// Integer arithmetic, or IEEE arithmetic one operation at a time: lanes never meet in a sum that rounds.
#pragma once
#include <cstddef>
#include <cstdint>

namespace dropstream::pixels {

// Three planes of bytes: sample (c, y, x) at data[c · plane + y · stride + x].
struct Planes {
  uint8_t* data = nullptr;
  size_t stride = 0, plane = 0;
  int width = 0, height = 0;

  // Always inlined, as everything that kernels of several instruction sets share must be: the linker keeps one copy of what is not.
  __attribute__((always_inline)) uint8_t* row(int channel, int y) const {
    return data + static_cast<size_t>(channel) * plane + static_cast<size_t>(y) * stride;
  }
};

// What a kernel may read (never write) past the last row of a plane's memory. Buffers handed over as a source hold that much more.
constexpr size_t kReadSlack = 128;

// For each output position of an axis: where its taps start, how many there are, and their integer weights (22 fractional bits),
// `stride` a position.
struct Taps {
  int stride = 0;
  const int *first = nullptr, *count = nullptr;
  const int32_t* weights = nullptr;
  __attribute__((always_inline)) const int32_t* of(int position) const { return weights + static_cast<ptrdiff_t>(position) * stride; }
};
constexpr int kWeightBits = 22;

struct ScanJob;

// Of a stream of noise (noise.h): Philox key and counter words.
struct NoiseKey {
  uint32_t key[2];
  uint32_t box, sample, purpose;
};

struct PixelKernels {
  const char* isa;
  // out(c, y, x) = round(Σ_k source(c, y, first[x] + k) · weight[x][k]), clamped, for the rows of `out`. `scratch`: horizontal_scratch(source.width, out.width) bytes.
  void (*resample_horizontally)(const Planes& source, const Taps& taps, const Planes& out, uint8_t* scratch);
  // out(c, y, x) = round(Σ_k source(c, first[y] + k, x) · weight[y][k]), clamped.
  void (*resample_vertically)(const Planes& source, const Taps& taps, const Planes& out);
  // Each row left to right; `out` is another image, of the same size.
  void (*mirror)(const Planes& source, const Planes& out);

  // Entropy decoding and inverse transform of the MCUs of a window of a plain JPEG (jpeg/plain.h). False: it is not one after all.
  bool (*decode_scan)(const ScanJob& job);
  // `count` pixels of one row. Sources: kReadSlack bytes may be read behind them.
  void (*ycc_row)(const uint8_t* y, const uint8_t* cb, const uint8_t* cr, int count, uint8_t* r, uint8_t* g, uint8_t* b);
  // out[x] = (3 · near[x] + far[x] + bias) >> 2; `out` is written up to a whole 16.
  void (*blend_chroma_rows)(const uint8_t* near, const uint8_t* far, int bias, int count, uint8_t* out);
  // Twice as many samples as `count`, written up to a whole 32, by the triangle filter; `far`: the second nearest row, or null. Reads one sample before the row.
  void (*widen_chroma_row)(const uint8_t* near, const uint8_t* far, int count, uint8_t* out);

  // Output pixel (x, y) is the source at (m0(x+½) + m1(y+½) + m2, m3(x+½) + m4(y+½) + m5), or `fill` outside; bilinear or cubic (affine.h).
  void (*transform)(const Planes& source, const double* matrix, bool cubic, const uint8_t* fill, const Planes& out);
  // values[i] = table[values[i]].
  void (*look_up)(uint8_t* values, size_t count, const uint8_t* table);
  // Each channel v to l + factor · (v − l), l the pixel's luma; in place, kReadSlack bytes readable behind each plane.
  void (*blend_luma)(uint8_t* r, uint8_t* g, uint8_t* b, size_t count, float factor);
  uint64_t (*luma_sum)(const uint8_t* r, const uint8_t* g, const uint8_t* b, size_t count);
  // Each value v to s + factor · (v − s), s the rounded mean of the 3 × 3 around it, its own weight 5 of 13; at the border v itself.
  void (*sharpen)(const Planes& source, float factor, const Planes& out);

  void (*look_up_floats)(const uint8_t* values, size_t count, const float* table, float* out);
  // own = own · own_share + other · other_share.
  void (*mix_floats)(float* own, const float* other, size_t count, float own_share, float other_share);
  // To nearest, ties to even.
  void (*round_to_bfloat16)(const float* values, size_t count, uint16_t* out);
  // Values first … first + count − 1 of a stream.
  void (*noise)(const NoiseKey& key, uint64_t first, int count, float* out);
};

// Strips of 16 rows, transposed, of the source and of the output.
constexpr size_t horizontal_scratch(int source_width, int out_width) { return 16 * (static_cast<size_t>(source_width) + static_cast<size_t>(out_width) + 64); }

// The process's choice: the fastest, or what suits the instruction set that DROPSTREAM_ISA names. Throws std::runtime_error for a name that
// the engine does not know or this CPU does not run (simd/isa.h).
const PixelKernels& pixel_kernels();

}  // namespace dropstream::pixels
