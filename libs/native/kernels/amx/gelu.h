// GELU and its slope for results that become bf16: with two permutes of registers as a table of 32 rows, both need half the instructions of
// the formula in functions.h. Vectors take turns with tile products here, and every instruction less is time.
//
// Φ(x) is a polynomial of degree 4 around the nearest multiple of 3/8, up to 5.625, and 1 above. That around −6 is 0, so Φ is 0 below −5.8125.
// The slope Φ(x) + x·Φ'(x) is that of the same polynomial. The coefficients minimise the larger error of both. |error| of GELU ≤ 2e-7 +
// 1e-5·|GELU|; of its slope ≤ 1e-5.
#pragma once
#include "kernels/declare.h"

#if DROPSTREAM_ISA_avx512
namespace dropstream {
namespace DROPSTREAM_ISA {

// [power of x][multiple of 3/8, in the order 0 … 15, −16 … −1].
alignas(64) constexpr float kNormalPolynomials[5][32] = {
    {0.49999997f,    0.646170378f,    0.773372471f,    0.869704723f,    0.933187425f,    0.969599545f,   0.98777473f,    0.995669365f,
     0.998652518f,   0.999632716f,    0.99991256f,     0.99998188f,     0.999996722f,    0.999999464f,   0.99999994f,    1.0f,
     0.0f,           9.27603416e-09f, 7.60526717e-08f, 5.44054217e-07f, 3.39770872e-06f, 1.8536799e-05f, 8.8417175e-05f, 0.000369077112f,
     0.00134989445f, 0.00433244091f,  0.0122244712f,   0.0303964224f,   0.0668075234f,   0.130295008f,   0.226627409f,   0.353829741f},
    {0.39893204f,    0.371849388f,    0.301137626f,    0.21188122f,     0.129525632f,    0.0687909946f,   0.03174036f,     0.0127227651f,
     0.00443019858f, 0.0013400357f,   0.000352076459f, 8.03447911e-05f, 1.59238207e-05f, 2.74075455e-06f, 4.09624903e-07f, 5.3675965e-08f,
     0.0f,           5.35876907e-08f, 4.12035888e-07f, 2.75210573e-06f, 1.59685533e-05f, 8.04907249e-05f, 0.000352463685f, 0.00134084513f,
     0.00443139113f, 0.0127236946f,   0.0317399725f,   0.0687888339f,   0.129522264f,    0.211880982f,    0.301137507f,    0.371849716f},
    {9.1340172e-07f,  -0.0697346255f,   -0.112922423f,    -0.119173855f,    -0.0971375182f,   -0.064488925f,   -0.0357088223f,   -0.016701173f, -0.00664770417f,
     -0.00226285658f, -0.000660903344f, -0.000166009937f, -3.59247715e-05f, -6.70628242e-06f, -1.0810146e-06f, -1.53431614e-07f, 0.0f,          1.50862107e-07f,
     1.08243808e-06f, 6.71239877e-06f,  3.59466794e-05f,  0.00016607673f,   0.000661091472f,  0.00226337463f,  0.00664835097f,   0.0167018492f, 0.0357082337f,
     0.0644878224f,   0.0971353203f,    0.119173519f,     0.112922259f,     0.0697352886f},
    {-0.0658572838f, -0.0528973266f,  -0.0219626464f,  0.00907485187f,  0.0266428255f,   0.0286483318f,   0.0214628987f,   0.0125481663f,
     0.00597370043f, 0.00236465409f,  0.000787731959f, 0.000222527f,    5.35820327e-05f, 1.10377605e-05f, 1.95049915e-06f, 2.35766123e-07f,
     0.0f,           2.90742207e-07f, 1.91948516e-06f, 1.08914073e-05f, 5.30037833e-05f, 0.000220634305f, 0.000782682619f, 0.00235398812f,
     0.0059596966f,  0.0125411553f,   0.0214636214f,   0.0286477078f,   0.0266412776f,   0.00907472614f,  -0.0219628811f,  -0.0528923571f},
    {-9.50922276e-06f,
     0.0168369599f,
     0.0227156598f,
     0.0170284621f,
     0.00604043761f,
     -0.00269836327f,
     -0.00606398983f,
     -0.0053834524f,
     -0.00332488795f,
     -0.00159328128f,
     -0.000618050515f,
     -0.000198293608f,
     -5.32885024e-05f,
     -1.20932036e-05f,
     -2.33063724e-06f,
     -5.85841633e-07f,
     0.0f,
     3.77877683e-07f,
     2.30478713e-06f,
     1.19847027e-05f,
     5.2909596e-05f,
     0.000197143847f,
     0.000614548335f,
     0.00158201682f,
     0.00331669976f,
     0.00537617737f,
     0.00607019709f,
     0.00269713299f,
     -0.00604250142f,
     -0.0170262977f,
     -0.0227159373f,
     -0.0168184619f},
};

struct ShortGelu {
  Vec value, slope;
};
DS_INLINE ShortGelu short_gelu(Vec x) {
  const Vec magic = splat(12582912.0f);  // adding it rounds to an integer; the low bits of a sum with it are the row of the table
  const Vec above = max(splat(-6.0f), x), bounded = min(splat(5.625f), above);
  const Vec shifted = fma(bounded, splat(2.66666675f), magic), r = fma(shifted - magic, splat(-0.375f), bounded);
  const auto coefficient = [&](size_t power) {
    const float* row = kNormalPolynomials[power];
    return (Vec)_mm512_permutex2var_ps((__m512)load(row), (__m512i)shifted, (__m512)load(row + kLanes));
  };
  Vec value = coefficient(4), slope = value;
  value = fma(value, r, coefficient(3));
  slope = fma(slope, r, value);
  value = fma(value, r, coefficient(2));
  slope = fma(slope, r, value);
  value = fma(value, r, coefficient(1));
  slope = fma(slope, r, value);
  value = fma(value, r, coefficient(0));
  return {above * value, fma(bounded, slope, value)};
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
#endif
