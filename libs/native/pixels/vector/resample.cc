// The two passes of the resize: sums of bytes times 23-bit weights, which are exact in 32 bits and are rounded to bytes after each pass.
//
// AVX-512: a weight is split into three signed digits of 8 bits, so that vpdpbusd sums four taps of 16 samples at once, one digit at a
// time. The three sums are shifted and added modulo 2³², which the true sum fits in. In the horizontal pass, one byte permute fetches four
// taps of 16 outputs. Both passes of a training crop take about 40 µs on Zen 5, a twentieth of the scalar loops.
// Other instruction sets use 16 lanes of 32-bit products. In the horizontal pass, strips of 16 rows are transposed so that the lanes are
// rows.
#include "vector/declare.h"

namespace dropstream::pixels {
namespace DROPSTREAM_ISA {
namespace {

constexpr int32_t kHalf = 1 << (kWeightBits - 1);

#if DROPSTREAM_ISA_avx512

constexpr int kDigits = 3;

// Splits four weights into three words of four signed digits: w = d0 + 2⁸ d1 + 2¹⁶ d2.
DS_INLINE void digits_of(const int32_t* weights, int count, uint32_t (&words)[kDigits]) {
  words[0] = words[1] = words[2] = 0;
  for (int k = 0; k < count; k++) {
    int32_t w = weights[k];
    for (uint32_t& word : words) {
      const int32_t digit = static_cast<int8_t>(w);
      word |= static_cast<uint32_t>(static_cast<uint8_t>(digit)) << (8 * k);
      w = (w - digit) >> 8;
    }
  }
}

DS_INLINE __m512i joined(__m512i low, __m512i middle, __m512i high) {
  return _mm512_add_epi32(low, _mm512_add_epi32(_mm512_slli_epi32(middle, 8), _mm512_slli_epi32(high, 16)));
}

DS_INLINE __m128i rounded(__m512i sum) { return _mm512_cvtusepi32_epi8(_mm512_max_epi32(_mm512_srai_epi32(sum, kWeightBits), _mm512_setzero_si512())); }

constexpr int kMaxGroups = 8;  // groups of four taps

// For 16 outputs: the byte permutes and the weights of each group of their taps.
struct Block {
  int groups;
  int base[kMaxGroups];  // column of byte 0 of the group's window
  bool wide[kMaxGroups];
  __m512i fetch[kMaxGroups], weights[kMaxGroups][kDigits];
};

// Returns false if the taps do not fit, which happens if the scale is more than about 7.
bool plan_block(const Taps& taps, int x, int count, Block& block) {
  int taps_max = 0;
  for (int i = 0; i < count; i++) taps_max = max(taps_max, taps.count[x + i]);
  block.groups = (taps_max + 3) / 4;
  if (block.groups > kMaxGroups) return false;
  for (int g = 0; g < block.groups; g++) {
    int base = 1 << 30, end = 0;
    for (int i = 0; i < count; i++) {
      const int taken = taps.count[x + i] - 4 * g;
      if (taken <= 0) continue;
      const int first = taps.first[x + i] + 4 * g;
      base = min(base, first);
      end = max(end, first + min(taken, 4));
    }
    if (end - base > 128) return false;
    block.base[g] = base;
    block.wide[g] = end - base > 64;
    alignas(64) uint8_t fetch[64] = {};
    alignas(64) uint32_t digits[kDigits][16] = {};
    for (int i = 0; i < count; i++) {
      const int taken = min(taps.count[x + i] - 4 * g, 4);
      if (taken <= 0) continue;
      for (int k = 0; k < taken; k++) fetch[4 * i + k] = static_cast<uint8_t>(taps.first[x + i] + 4 * g + k - base);
      uint32_t words[kDigits];
      digits_of(taps.of(x + i) + 4 * g, taken, words);
      for (int d = 0; d < kDigits; d++) digits[d][i] = words[d];
    }
    block.fetch[g] = _mm512_load_si512(fetch);
    for (int d = 0; d < kDigits; d++) block.weights[g][d] = _mm512_load_si512(digits[d]);
  }
  return true;
}

template <int kGroups, bool kWide>
DS_INLINE void run_rows(const Planes& source, const Block& block, int x, __mmask16 kept, const Planes& out) {
  __m512i fetch[kGroups], weights[kGroups][kDigits];
  for (int g = 0; g < kGroups; g++) {
    fetch[g] = block.fetch[g];
    for (int d = 0; d < kDigits; d++) weights[g][d] = block.weights[g][d];
  }
  for (int c = 0; c < 3; c++) {
    for (int y = 0; y < out.height; y++) {
      const uint8_t* line = source.row(c, y);
      __m512i low = _mm512_set1_epi32(kHalf), middle = _mm512_setzero_si512(), high = middle;
      for (int g = 0; g < kGroups; g++) {
        const uint8_t* from = line + block.base[g];
        const __m512i window = _mm512_loadu_si512(from);
        const __m512i samples = kWide ? _mm512_permutex2var_epi8(window, fetch[g], _mm512_loadu_si512(from + 64)) : _mm512_permutexvar_epi8(fetch[g], window);
        low = _mm512_dpbusd_epi32(low, samples, weights[g][0]);
        middle = _mm512_dpbusd_epi32(middle, samples, weights[g][1]);
        high = _mm512_dpbusd_epi32(high, samples, weights[g][2]);
      }
      _mm_mask_storeu_epi8(out.row(c, y) + x, kept, rounded(joined(low, middle, high)));
    }
  }
}

template <bool kWide>
void run_block(const Planes& source, const Block& block, int x, __mmask16 kept, const Planes& out) {
  switch (block.groups) {
    case 1: return run_rows<1, kWide>(source, block, x, kept, out);
    case 2: return run_rows<2, kWide>(source, block, x, kept, out);
    case 3: return run_rows<3, kWide>(source, block, x, kept, out);
    case 4: return run_rows<4, kWide>(source, block, x, kept, out);
    case 5: return run_rows<5, kWide>(source, block, x, kept, out);
    case 6: return run_rows<6, kWide>(source, block, x, kept, out);
    case 7: return run_rows<7, kWide>(source, block, x, kept, out);
    default: return run_rows<8, kWide>(source, block, x, kept, out);
  }
}

// Computes one output after the other, with the taps as lanes. This is called for outputs with many taps.
void run_outputs(const Planes& source, const Taps& taps, int x, int count, const Planes& out) {
  for (int c = 0; c < 3; c++) {
    for (int y = 0; y < out.height; y++) {
      for (int i = x; i < x + count; i++) {
        const uint8_t* from = source.row(c, y) + taps.first[i];
        const int32_t* weights = taps.of(i);
        const int many = taps.count[i];
        __m512i sums = _mm512_setzero_si512();
        for (int k = 0; k < many; k += 16) {
          const __mmask16 mask = static_cast<__mmask16>(many - k >= 16 ? 0xffff : (1 << (many - k)) - 1);
          const __m512i samples = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(mask, from + k));
          sums = _mm512_add_epi32(sums, _mm512_mullo_epi32(samples, _mm512_maskz_loadu_epi32(mask, weights + k)));
        }
        const int32_t sum = (kHalf + _mm512_reduce_add_epi32(sums)) >> kWeightBits;
        out.row(c, y)[i] = static_cast<uint8_t>(sum < 0 ? 0 : sum > 255 ? 255 : sum);
      }
    }
  }
}

#else

DS_INLINE Bytes16 to_bytes(Int16 sum) { return narrow_clamped(sum >> kWeightBits); }

#endif

}  // namespace

#if DROPSTREAM_ISA_avx512

void resample_horizontally(const Planes& source, const Taps& taps, const Planes& out, uint8_t*) {
  Block block;
  for (int x = 0; x < out.width; x += kPixels) {
    const int count = min(kPixels, out.width - x);
    if (!plan_block(taps, x, count, block)) {
      run_outputs(source, taps, x, count, out);
      continue;
    }
    bool wide = false;
    for (int g = 0; g < block.groups; g++) wide = wide || block.wide[g];
    const auto kept = static_cast<__mmask16>((1u << count) - 1u);
    (wide ? run_block<true> : run_block<false>)(source, block, x, kept, out);
  }
}

void resample_vertically(const Planes& source, const Taps& taps, const Planes& out) {
  for (int y = 0; y < out.height; y++) {
    const int32_t* weights = taps.of(y);
    const int count = taps.count[y], first = taps.first[y];
    const int groups = (count + 3) / 4;
    for (int c = 0; c < 3; c++) {
      const uint8_t* from = source.row(c, first);
      uint8_t* to = out.row(c, y);
      for (int x = 0; x < out.width; x += 64) {
        const int columns = min(64, out.width - x);
        const __mmask64 kept = columns == 64 ? ~__mmask64{0} : (__mmask64{1} << columns) - 1;
        __m512i sums[4][kDigits];
        for (auto& sum : sums) {
          sum[0] = _mm512_set1_epi32(kHalf);
          sum[1] = sum[2] = _mm512_setzero_si512();
        }
        for (int g = 0; g < groups; g++) {
          const int taken = min(4, count - 4 * g);
          uint32_t words[kDigits];
          digits_of(weights + 4 * g, taken, words);
          __m512i line[4];
          for (int k = 0; k < 4; k++) {
            line[k] = k < taken ? _mm512_maskz_loadu_epi8(kept, from + static_cast<size_t>(4 * g + k) * source.stride + x) : _mm512_setzero_si512();
          }
          // Interleaves four lines into words of four samples; the packs below restore the order of the words.
          const __m512i ab0 = _mm512_unpacklo_epi8(line[0], line[1]), ab1 = _mm512_unpackhi_epi8(line[0], line[1]);
          const __m512i cd0 = _mm512_unpacklo_epi8(line[2], line[3]), cd1 = _mm512_unpackhi_epi8(line[2], line[3]);
          const __m512i samples[4] = {_mm512_unpacklo_epi16(ab0, cd0), _mm512_unpackhi_epi16(ab0, cd0), _mm512_unpacklo_epi16(ab1, cd1),
                                      _mm512_unpackhi_epi16(ab1, cd1)};
          for (int d = 0; d < kDigits; d++) {
            const __m512i digit = _mm512_set1_epi32(static_cast<int>(words[d]));
            for (int q = 0; q < 4; q++) sums[q][d] = _mm512_dpbusd_epi32(sums[q][d], samples[q], digit);
          }
        }
        __m512i value[4];
        for (int q = 0; q < 4; q++) value[q] = _mm512_srai_epi32(joined(sums[q][0], sums[q][1], sums[q][2]), kWeightBits);
        const __m512i bytes = _mm512_packus_epi16(_mm512_packs_epi32(value[0], value[1]), _mm512_packs_epi32(value[2], value[3]));
        _mm512_mask_storeu_epi8(to + x, kept, bytes);
      }
    }
  }
}

#else

void resample_horizontally(const Planes& source, const Taps& taps, const Planes& out, uint8_t* scratch) {
  uint8_t* const transposed = scratch;                                               // [source.width][16 rows]
  uint8_t* const results = scratch + 16 * (static_cast<size_t>(source.width) + 16);  // [out.width][16 rows]
  for (int c = 0; c < 3; c++) {
    for (int y = 0; y < out.height; y += kPixels) {
      const int rows = min(kPixels, out.height - y);
      Bytes16 m[16];
      for (int x = 0; x < source.width; x += kPixels) {
        for (int i = 0; i < kPixels; i++) m[i] = load<Bytes16>(source.row(c, y + min(i, rows - 1)) + x);
        transpose(m);
        for (int i = 0; i < kPixels; i++) store(transposed + static_cast<size_t>(16 * (x + i)), m[i]);
      }
      for (int x = 0; x < out.width; x++) {
        const uint8_t* from = transposed + static_cast<size_t>(16 * taps.first[x]);
        const int32_t* weights = taps.of(x);
        Int16 sum = splat16(kHalf);
        for (int k = 0; k < taps.count[x]; k++) sum = sum + widen(load<Bytes16>(from + 16 * k)) * weights[k];
        store(results + static_cast<size_t>(16 * x), to_bytes(sum));
      }
      for (int x = 0; x < out.width; x += kPixels) {
        for (int i = 0; i < kPixels; i++) m[i] = load<Bytes16>(results + static_cast<size_t>(16 * (x + i)));
        transpose(m);
        for (int i = 0; i < rows; i++) store_part(out.row(c, y + i) + x, m[i], out.width - x);
      }
    }
  }
}

void resample_vertically(const Planes& source, const Taps& taps, const Planes& out) {
  for (int y = 0; y < out.height; y++) {
    const int32_t* weights = taps.of(y);
    const int count = taps.count[y], first = taps.first[y];
    for (int c = 0; c < 3; c++) {
      const uint8_t* from = source.row(c, first);
      uint8_t* to = out.row(c, y);
      for (int x = 0; x < out.width; x += kPixels) {
        Int16 sum = splat16(kHalf);
        for (int k = 0; k < count; k++) sum = sum + widen(load<Bytes16>(from + static_cast<size_t>(k) * source.stride + x)) * weights[k];
        store_part(to + x, to_bytes(sum), out.width - x);
      }
    }
  }
}

#endif

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream::pixels
