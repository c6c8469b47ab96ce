// The noise of random erasing (noise.h), 32 values at a time: eight Philox blocks, and then the normal quantile of each word. The centre is
// computed for all words; the tails (15 %) are gathered into vectors of their own. Operation by operation these are the scalar functions of
// random/normal.cc.
#include "random/normal-coefficients.h"
#include "vector/declare.h"

namespace dropstream::pixels {
namespace DROPSTREAM_ISA {
namespace {

typedef uint64_t WordPart __attribute__((vector_size(64 / kParts)));

struct Words8 {
  WordPart part[kParts];
};

DS_INLINE Words8 splat_words(uint64_t x) {
  Words8 v;
  DS_EACH v.part[i] = WordPart{} + x;
  return v;
}

// Whole numbers below 2⁵² as doubles.
DS_INLINE Double8 whole(Words8 v) {
  constexpr uint64_t kMagic = 0x4330000000000000;  // 2⁵²
  Double8 d;
  DS_EACH d.part[i] = (DoublePart)(v.part[i] | kMagic) - 4503599627370496.0;
  return d;
}

DS_INLINE Double8 negated(Double8 v) {
  DS_EACH v.part[i] = -v.part[i];
  return v;
}

DS_INLINE Double8 square_root(Double8 v) {
#if DROPSTREAM_ISA_avx512
  v.part[0] = (DoublePart)_mm512_sqrt_pd((__m512d)v.part[0]);
#elif DROPSTREAM_ISA_avx2
  DS_EACH v.part[i] = (DoublePart)_mm256_sqrt_pd((__m256d)v.part[i]);
#elif DROPSTREAM_ISA_neon
  DS_EACH v.part[i] = (DoublePart)vsqrtq_f64((float64x2_t)v.part[i]);
#else
  double lanes[8];
  memcpy(lanes, &v, sizeof lanes);
  for (double& lane : lanes) lane = __builtin_sqrt(lane);
  memcpy(&v, lanes, sizeof lanes);
#endif
  return v;
}

DS_INLINE Double8 polynomial(const double (&coefficients)[8], Double8 x) {
  Double8 sum = splat8(coefficients[7]);
  for (int k = 6; k >= 0; k--) sum = sum * x + coefficients[k];
  return sum;
}

DS_INLINE Double8 natural_log(Double8 x) {
  constexpr double ln2_high = 0.6931471803691238, ln2_low = 1.9082149292705877e-10;
  Words8 exponents;
  Double8 mantissa;
  DS_EACH {
    const auto bits = (WordPart)x.part[i];
    exponents.part[i] = bits >> 52;
    const auto m = (DoublePart)((bits & 0x000fffffffffffffull) | 0x3ff0000000000000ull);
    const auto large = (WordPart)(m > 1.4142135623730951);
    mantissa.part[i] = (DoublePart)(((WordPart)m & ~large) | ((WordPart)(m * 0.5) & large));
    exponents.part[i] += large & 1;
  }
  const Double8 exponent = whole(exponents) - 1023.0;
  const Double8 f = mantissa - 1.0, s = f / (f + 2.0), z = s * s;
  Double8 series = splat8(0.0);
  for (int k = 23; k >= 3; k -= 2) series = (series + 2.0 / k) * z;
  const Double8 half = f * 0.5 * f;
  return exponent * ln2_high - (half - (s * (half + series) + exponent * ln2_low) - f);
}

DS_INLINE Double8 central_quantile(Double8 p) {
  const Double8 q = p - 0.5, r = splat8(0.180625) - q * q;
  return q * polynomial(kCentreNumerator, r) / polynomial(kCentreDenominator, r);
}

// For a p that is at least 2⁻³³ away from 0 and 1, so that √(−ln) ≤ 5.
DS_INLINE Double8 tail_quantile(Double8 p) {
  const Double8 q = p - 0.5, upper = splat8(1.0) - p;
  Double8 tail;
  DS_EACH {
    const auto low = (WordPart)(q.part[i] < 0.0);
    tail.part[i] = (DoublePart)(((WordPart)p.part[i] & low) | ((WordPart)upper.part[i] & ~low));
  }
  const Double8 r = square_root(negated(natural_log(tail))) - 1.6;
  Double8 x = polynomial(kMiddleNumerator, r) / polynomial(kMiddleDenominator, r);
  DS_EACH x.part[i] = (DoublePart)((WordPart)x.part[i] ^ ((WordPart)(q.part[i] < 0.0) & 0x8000000000000000ull));
  return x;
}

// a · b for lanes of a below 2³².
DS_INLINE WordPart product(WordPart a, uint32_t b) {
#if DROPSTREAM_ISA_neon
  return (WordPart)vmull_u32(vmovn_u64((uint64x2_t)a), vdup_n_u32(b));
#else
  return a * static_cast<uint64_t>(b);
#endif
}

// Words 0 … 3 of Philox 4x32-10 at counters (first … first + 7, box, sample, purpose).
DS_INLINE void philox(const NoiseKey& key, uint32_t first, Words8 (&x)[4]) {
  alignas(64) uint64_t counters[8];
  for (uint32_t i = 0; i < 8; i++) counters[i] = static_cast<uint32_t>(first + i);
  x[0] = load<Words8>(counters);
  x[1] = splat_words(key.box);
  x[2] = splat_words(key.sample);
  x[3] = splat_words(key.purpose);
  uint32_t k0 = key.key[0], k1 = key.key[1];
  for (int round = 0; round < 10; round++) {
    DS_EACH {
      const WordPart p0 = product(x[0].part[i], 0xd2511f53), p1 = product(x[2].part[i], 0xcd9e8d57);
      x[0].part[i] = (p1 >> 32) ^ x[1].part[i] ^ k0;
      x[1].part[i] = p1 & 0xffffffffull;
      x[2].part[i] = (p0 >> 32) ^ x[3].part[i] ^ k1;
      x[3].part[i] = p0 & 0xffffffffull;
    }
    k0 += 0x9e3779b9;
    k1 += 0xbb67ae85;
  }
}

}  // namespace

void noise(const NoiseKey& key, uint64_t first, int count, float* out) {
  constexpr int kChunk = 32;
  for (int done = 0; done < count;) {
    const uint64_t element = first + static_cast<uint64_t>(done);
    Words8 words[4];
    philox(key, static_cast<uint32_t>(element >> 2), words);
    double p[kChunk + 8], value[kChunk];
    for (int w = 0; w < 4; w++) {
      double lanes[8];
      store(lanes, (whole(words[w]) + 0.5) * (1.0 / 4294967296.0));
      for (int i = 0; i < 8; i++) p[4 * i + w] = lanes[i];
    }
    for (int i = 0; i < kChunk; i += 8) store(value + i, central_quantile(load<Double8>(p + i)));
    int tails[kChunk + 8], many = 0;
    for (int i = 0; i < kChunk; i++) {
      const double q = p[i] - 0.5;
      tails[many] = i;
      many += (q < 0 ? -q : q) > 0.425;
    }
    for (int t = 0; t < many; t += 8) {
      double lanes[8];
      for (int i = 0; i < 8; i++) lanes[i] = t + i < many ? p[tails[t + i]] : 0.01;
      store(lanes, tail_quantile(load<Double8>(lanes)));
      for (int i = 0; i < 8 && t + i < many; i++) value[tails[t + i]] = lanes[i];
    }
    const int skipped = static_cast<int>(element & 3), here = min(kChunk - skipped, count - done);
    for (int i = 0; i < here; i++) out[done + i] = static_cast<float>(value[skipped + i]);
    done += here;
  }
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream::pixels
