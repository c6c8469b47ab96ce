// The peak rates of one core of this machine, for every instruction set it has: multiply-adds on registers alone (in the tiles of AMX also
// with operands from L2), and bytes per second of y = x · a through arrays of growing size. Prints one JSON object per line, which
// bench:kernels shows next to each kernel. The rates are upper limits, so they are the best of seven rounds.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <vector>

#include "bench/timing.h"
#include "threads/tile-mode.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif

namespace {

using dropstream::bench::best_seconds;

// Twelve chains hide the latency of a multiply-add (4 cycles, two per cycle) and fit in the registers of every instruction set (AVX2 has
// 16).
#define CHAINS(F) F(0) F(1) F(2) F(3) F(4) F(5) F(6) F(7) F(8) F(9) F(10) F(11)
constexpr long kRounds = 100000;
constexpr double kChains = 12;

volatile float sink;
float* volatile place;  // makes the compiler assume that what it points to is read

#define START(i) Vector c##i = b;
#define KEEP(i) asm volatile("" : "+" VECTOR_REGISTER(c##i));
#define TOTAL(i) total = total + c##i;

// Functions of one instruction set, TARGET: Vector is its fp32 vector, and MULTIPLY_ADD(c) is one step of a chain.
#define PEAKS(NAME, TARGET)                                      \
  TARGET void fma_##NAME() {                                     \
    const Vector a = Vector{} + 1e-9f, b = Vector{} + 0.5f;      \
    CHAINS(START)                                                \
    for (long round = 0; round < kRounds; round++) {             \
      CHAINS(STEP)                                               \
      CHAINS(KEEP)                                               \
    }                                                            \
    Vector total = a;                                            \
    CHAINS(TOTAL)                                                \
    sink = total[0];                                             \
  }                                                              \
  TARGET void scale_##NAME(const float* x, float* y, size_t n) { \
    constexpr size_t kLanes = sizeof(Vector) / sizeof(float);    \
    for (size_t i = 0; i < n; i += kLanes) {                     \
      Vector v;                                                  \
      memcpy(&v, x + i, sizeof v);                               \
      v = v * 0.999f;                                            \
      memcpy(y + i, &v, sizeof v);                               \
    }                                                            \
  }

#if defined(__x86_64__)
#define VECTOR_REGISTER "v"
namespace sets_of_64_bytes {
typedef float Vector __attribute__((vector_size(64)));
#define STEP(i) c##i = (Vector)_mm512_fmadd_ps((__m512)c##i, (__m512)b, (__m512)a);
PEAKS(avx512, __attribute__((target("avx512f"))))
#undef STEP
}  // namespace sets_of_64_bytes

__attribute__((target("avx512f,avx512bf16"))) void dot_bf16() {
  typedef __m512 Vector;
  const __m512 half = _mm512_set1_ps(0.5f), b = half;
  const __m512bh a = _mm512_cvtne2ps_pbh(_mm512_set1_ps(1e-9f), _mm512_set1_ps(1e-9f));
#define STEP(i) c##i = _mm512_dpbf16_ps(c##i, a, a);
  CHAINS(START)
  for (long round = 0; round < kRounds; round++) {
    CHAINS(STEP)
    CHAINS(KEEP)
  }
  Vector total = half;
  CHAINS(TOTAL)
  sink = total[0];
#undef STEP
}

#if DROPSTREAM_HAS_amx
constexpr size_t kTileBytes = 1024, kStepBytes = 4 * kTileBytes;
constexpr double kTileFlop = 2.0 * 16 * 16 * 32;
constexpr long kTileSteps = 10000;

// A block of 2 × 2 tiles of sums, whose four products share two left and two right tiles: the products alone.
__attribute__((target("amx-tile,amx-bf16"))) void tiles_on_registers(const char* array) {
  _tile_loadd(4, array, 64);
  _tile_loadd(5, array + kTileBytes, 64);
  _tile_loadd(6, array + 2 * kTileBytes, 64);
  _tile_loadd(7, array + 3 * kTileBytes, 64);
  for (long step = 0; step < kTileSteps; step++) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}

// The same products, but every step loads its four operands from an array of this size, which L2 holds and L1 does not.
constexpr size_t kArrayBytes = 1 << 20;
__attribute__((target("amx-tile,amx-bf16"))) void tiles_from(const char* array) {
  for (long step = 0; step < kTileSteps; step++) {
    const char* at = array + (size_t)step * kStepBytes % kArrayBytes;
    _tile_loadd(6, at, 64);
    _tile_loadd(4, at + kTileBytes, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_loadd(7, at + 2 * kTileBytes, 64);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, at + 3 * kTileBytes, 64);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}
#endif

namespace sets_of_32_bytes {
typedef float Vector __attribute__((vector_size(32)));
#define STEP(i) c##i = (Vector)_mm256_fmadd_ps((__m256)c##i, (__m256)b, (__m256)a);
PEAKS(avx2, __attribute__((target("avx2,fma"))))
#undef STEP
}  // namespace sets_of_32_bytes
#undef VECTOR_REGISTER
#define VECTOR_REGISTER "x"
#else
#define VECTOR_REGISTER "w"
#endif

namespace sets_of_16_bytes {
typedef float Vector __attribute__((vector_size(16)));
#define STEP(i) c##i = c##i * b + a;
PEAKS(portable, )
#undef STEP
}  // namespace sets_of_16_bytes

template <class Kernel>
void print_rate(const char* isa, const char* type, const char* operands, double flop, Kernel kernel) {
  double seconds = best_seconds(kernel);
  for (int again = 0; again < 2; again++) seconds = std::min(seconds, best_seconds(kernel));  // this is an upper limit, so it is measured more often
  printf("{\"peak\": \"multiply-add\", \"isa\": \"%s\", \"type\": \"%s\", \"operands\": \"%s\", \"gflops\": %.1f}\n", isa, type, operands,
         flop / seconds / 1e9);
  fflush(stdout);
}

void print_flops(const char* isa, const char* type, double flop_per_step, void (*kernel)()) {
  print_rate(isa, type, "registers", flop_per_step * kChains * kRounds, kernel);
}

// From the first-level cache to memory: the rate that an elementwise kernel can reach if it reads one array and writes another, both of
// this size.
void print_bandwidths(const char* isa, void (*kernel)(const float*, float*, size_t)) {
  for (size_t bytes = 16 << 10; bytes <= (256u << 20); bytes *= 4) {
    const size_t floats = bytes / 2 / sizeof(float);
    std::vector<float> x(floats + 16, 1.0f), y(floats + 16);
    float *from = x.data(), *to = y.data();
    while ((size_t)from % 64) from++;
    while ((size_t)to % 64) to++;
    const double seconds = best_seconds([&] {
      place = to;
      kernel(from, to, floats);
      sink = place[0];
    });
    printf("{\"peak\": \"bandwidth\", \"isa\": \"%s\", \"bytes\": %zu, \"gb_per_s\": %.1f}\n", isa, bytes, (double)bytes / seconds / 1e9);
    fflush(stdout);
  }
}

}  // namespace

int main(int count, char** arguments) {
  const auto wanted = [&](const char* isa) { return count < 2 || !strcmp(arguments[1], isa); };
#if DROPSTREAM_HAS_amx
  if (wanted("amx") && dropstream::tiles_permitted()) {
    dropstream::configure_tiles();
    // Of both signs, from 0.5 to 2: tiles multiply zeros a quarter faster than such values.
    std::vector<uint16_t> array((kArrayBytes + 64) / sizeof(uint16_t));
    uint32_t state = 1;
    for (uint16_t& half : array) {
      state = state * 1664525 + 1013904223;
      half = (uint16_t)(0x3f00 | (state >> 16 & 0x80ff));
    }
    const char* aligned = (const char*)array.data();
    while ((size_t)aligned % 64) aligned += sizeof(uint16_t);
    print_flops("amx", "fp32", 32, sets_of_64_bytes::fma_avx512);
    print_rate("amx", "bf16", "registers", 4 * kTileFlop * kTileSteps, [&] { tiles_on_registers(aligned); });
    print_rate("amx", "bf16", "L2", 4 * kTileFlop * kTileSteps, [&] { tiles_from(aligned); });
    dropstream::release_tiles();
    print_bandwidths("amx", sets_of_64_bytes::scale_avx512);
  }
#endif
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f") && (wanted("avx512") || wanted("avx512_bf16"))) {
    for (const char* isa : {"avx512_bf16", "avx512"}) {
      if (!wanted(isa)) continue;
      const bool dots = !strcmp(isa, "avx512_bf16");
      if (dots && !__builtin_cpu_supports("avx512bf16")) continue;
      print_flops(isa, "fp32", 32, sets_of_64_bytes::fma_avx512);
      // Without instructions for bf16, operands are widened and multiplied in fp32.
      print_flops(isa, "bf16", dots ? 64 : 32, dots ? dot_bf16 : sets_of_64_bytes::fma_avx512);
      print_bandwidths(isa, sets_of_64_bytes::scale_avx512);
    }
  }
  if (wanted("avx2") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) {
    for (const char* type : {"fp32", "bf16"}) print_flops("avx2", type, 16, sets_of_32_bytes::fma_avx2);
    print_bandwidths("avx2", sets_of_32_bytes::scale_avx2);
  }
#endif
  if (wanted("portable")) {
    for (const char* type : {"fp32", "bf16"}) print_flops("portable", type, 8, sets_of_16_bytes::fma_portable);
    print_bandwidths("portable", sets_of_16_bytes::scale_portable);
  }
}
