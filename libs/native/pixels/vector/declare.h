// Declares the kernels of one instruction set; table.cc collects them.
#pragma once
#include "kernels.h"
#include "simd/simd.h"

namespace dropstream::pixels {
namespace DROPSTREAM_ISA {

using namespace dropstream::DROPSTREAM_ISA;  // simd/simd.h

void resample_horizontally(const Planes& source, const Taps& taps, const Planes& out, uint8_t* scratch);
void resample_vertically(const Planes& source, const Taps& taps, const Planes& out);
void mirror(const Planes& source, const Planes& out);
bool decode_scan(const ScanJob& job);
void ycc_row(const uint8_t* y, const uint8_t* cb, const uint8_t* cr, int count, uint8_t* r, uint8_t* g, uint8_t* b);
void blend_chroma_rows(const uint8_t* near, const uint8_t* far, int bias, int count, uint8_t* out);
void widen_chroma_row(const uint8_t* near, const uint8_t* far, int count, uint8_t* out);
void transform(const Planes& source, const double* matrix, bool cubic, const uint8_t* fill, const Planes& out);
void look_up(uint8_t* values, size_t count, const uint8_t* table);
void blend_luma(uint8_t* r, uint8_t* g, uint8_t* b, size_t count, float factor);
uint64_t luma_sum(const uint8_t* r, const uint8_t* g, const uint8_t* b, size_t count);
void sharpen(const Planes& source, float factor, const Planes& out);
void look_up_floats(const uint8_t* values, size_t count, const float* table, float* out);
void mix_floats(float* own, const float* other, size_t count, float own_share, float other_share);
void round_to_bfloat16(const float* values, size_t count, uint16_t* out);
void noise(const NoiseKey& key, uint64_t first, int count, float* out);

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream::pixels
