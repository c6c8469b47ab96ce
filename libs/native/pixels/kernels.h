// The vectorised inner loops of the pixel library: pure functions on planes, with one table per instruction set and equal bytes from each.
// They use integer arithmetic, or IEEE arithmetic one operation at a time, and never add up lanes in a sum that rounds.
#pragma once
#include <cstddef>
#include <cstdint>

namespace dropstream::pixels {

// Three planes of bytes: sample (c, y, x) is at data[c · plane + y · stride + x].
struct Planes {
  uint8_t* data = nullptr;
  size_t stride = 0, plane = 0;
  int width = 0, height = 0;

  // This is always inlined, like everything that kernels of several instruction sets share, because the linker keeps one copy of a function
  // that is not.
  __attribute__((always_inline)) uint8_t* row(int channel, int y) const {
    return data + static_cast<size_t>(channel) * plane + static_cast<size_t>(y) * stride;
  }
};

// The number of bytes that a kernel may read (never write) after the last row of a plane. Buffers that are passed as a source must have
// that much more.
constexpr size_t kReadSlack = 128;

// For each output position of an axis: where its taps start, how many there are, and their integer weights (22 fractional bits), `stride`
// of them per position.
struct Taps {
  int stride = 0;
  const int *first = nullptr, *count = nullptr;
  const int32_t* weights = nullptr;
  __attribute__((always_inline)) const int32_t* of(int position) const { return weights + static_cast<ptrdiff_t>(position) * stride; }
};
constexpr int kWeightBits = 22;

struct ScanJob;

// A stream of noise (noise.h): the key and the counter words of Philox.
struct NoiseKey {
  uint32_t key[2];
  uint32_t box, sample, purpose;
};

struct PixelKernels {
  const char* isa;
  // out(c, y, x) = round(Σ_k source(c, y, first[x] + k) · weight[x][k]), clamped, for the rows of `out`. `scratch` needs
  // horizontal_scratch(source.width, out.width) bytes.
  void (*resample_horizontally)(const Planes& source, const Taps& taps, const Planes& out, uint8_t* scratch);
  // out(c, y, x) = round(Σ_k source(c, first[y] + k, x) · weight[y][k]), clamped.
  void (*resample_vertically)(const Planes& source, const Taps& taps, const Planes& out);
  // Mirrors each row. `out` must be another image of the same size.
  void (*mirror)(const Planes& source, const Planes& out);

  // Decodes the MCUs of a window of a plain JPEG (jpeg/plain.h): entropy decoding and inverse transform. Returns false if the file is not
  // plain after all.
  bool (*decode_scan)(const ScanJob& job);
  // Converts `count` pixels of one row. kReadSlack bytes after each source must be readable.
  void (*ycc_row)(const uint8_t* y, const uint8_t* cb, const uint8_t* cr, int count, uint8_t* r, uint8_t* g, uint8_t* b);
  // out[x] = (3 · near[x] + far[x] + bias) >> 2. Writes `out` up to a multiple of 16.
  void (*blend_chroma_rows)(const uint8_t* near, const uint8_t* far, int bias, int count, uint8_t* out);
  // Doubles the number of samples with the triangle filter, and writes `out` up to a multiple of 32. `far` is the second nearest row, or
  // null. Reads one sample before the row.
  void (*widen_chroma_row)(const uint8_t* near, const uint8_t* far, int count, uint8_t* out);

  // Output pixel (x, y) is the source at (m0(x+½) + m1(y+½) + m2, m3(x+½) + m4(y+½) + m5), bilinear or cubic (affine.h), or `fill` outside
  // of the source.
  void (*transform)(const Planes& source, const double* matrix, bool cubic, const uint8_t* fill, const Planes& out);
  // values[i] = table[values[i]].
  void (*look_up)(uint8_t* values, size_t count, const uint8_t* table);
  // Replaces each channel v by l + factor · (v − l), where l is the pixel's luma. Works in place; kReadSlack bytes after each plane must be
  // readable.
  void (*blend_luma)(uint8_t* r, uint8_t* g, uint8_t* b, size_t count, float factor);
  uint64_t (*luma_sum)(const uint8_t* r, const uint8_t* g, const uint8_t* b, size_t count);
  // Maps each value v to s + factor · (v − s), where s is the rounded mean of the 3 × 3 values around it (v has weight 5 of 13). At the
  // border it keeps v.
  void (*sharpen)(const Planes& source, float factor, const Planes& out);

  void (*look_up_floats)(const uint8_t* values, size_t count, const float* table, float* out);
  // own = own · own_share + other · other_share.
  void (*mix_floats)(float* own, const float* other, size_t count, float own_share, float other_share);
  // Rounds to nearest, ties to even.
  void (*round_to_bfloat16)(const float* values, size_t count, uint16_t* out);
  // Writes values first … first + count − 1 of a stream.
  void (*noise)(const NoiseKey& key, uint64_t first, int count, float* out);
};

// Scratch for strips of 16 transposed rows of the source and of the output.
constexpr size_t horizontal_scratch(int source_width, int out_width) { return 16 * (static_cast<size_t>(source_width) + static_cast<size_t>(out_width) + 64); }

// The choice of the process: the fastest kernels, or those that fit the instruction set named by DROPSTREAM_ISA. Throws std::runtime_error
// for a name that the engine does not know or that this CPU cannot run (simd/isa.h).
const PixelKernels& pixel_kernels();

}  // namespace dropstream::pixels
