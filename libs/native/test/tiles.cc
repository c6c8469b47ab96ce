// Products in AMX's tiles. On every machine: the loop nest, its copies and its edges, over the model of the tile product. On machines with
// AMX: the same products with the instructions, compared with the model.
#include <initializer_list>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "dispatch.h"
#include "test/harness.h"

namespace dropstream {
#if DROPSTREAM_HAS_tile_model_avx512_bf16
namespace tile_model_avx512_bf16 {
const KernelTable& kernel_table();
}
#endif
#if DROPSTREAM_HAS_tile_model_portable
namespace tile_model_portable {
const KernelTable& kernel_table();
}
#endif
}  // namespace dropstream

namespace dropstream::test {

namespace {

const KernelTable* available(const char* isa) {
  for (const KernelTable* table : available_kernels())
    if (!strcmp(table->isa, isa)) return table;
  return nullptr;
}

// The models whose packed layout this CPU can produce, each with the table it is made of.
struct Model {
  const KernelTable *tiles, *base;
};
std::vector<Model> models() {
  std::vector<Model> all;
#if DROPSTREAM_HAS_tile_model_avx512_bf16
  if (const KernelTable* base = available("avx512_bf16")) all.push_back({&tile_model_avx512_bf16::kernel_table(), base});
#endif
#if DROPSTREAM_HAS_tile_model_portable
  all.push_back({&tile_model_portable::kernel_table(), available("portable")});
#endif
  return all;
}

// c (+)= a[m][k] · b[k][n] of bf16, all panels at once.
void multiply(const KernelTable& k, size_t m, size_t depth, size_t n, const Array& a, const Array& b, Array& c, bool accumulate) {
  Array words(k.packed_floats(depth, n, Type::bf16));
  const size_t panels = ceil_div(n, k.panel_width);
  k.pack_rows({depth, n, b, n, {words.data(), Type::bf16}}, 0, panels, 0, depth);
  k.product({m, depth, n, a, depth, false, {In(words).at, Type::bf16}, c, n, accumulate, nullptr, Epilogue::none, nullptr}, 0, m, 0, panels);
}

// One element in the order of tdpbf16ps, from the matrices themselves: 32 deep at a time, even and odd elements in chains of their own.
float in_tile_order(const Array& a, const Array& b, size_t i, size_t j, size_t depth, size_t n, float sum) {
  for (size_t begin = 0; begin < depth; begin += 32) {
    float chain[2] = {0, 0};
    for (size_t t = begin; t < std::min(depth, begin + 32); t++) chain[t % 2] += a.get(i * depth + t) * b.get(t * n + j);
    sum += chain[0] + chain[1];
  }
  return sum;
}

void order_case(const Model& model, Random& random, size_t m, size_t depth, size_t n) {
  const std::string name = std::string(model.tiles->isa) + " " + std::to_string(m) + "x" + std::to_string(depth) + "x" + std::to_string(n);
  Array a(m * depth, Type::bf16), b(depth * n, Type::bf16), start(m * n), c(m * n), expected(m * n), vector(m * n);
  random.fill(a);
  random.fill(b);
  random.fill(start);
  for (const bool accumulate : {false, true}) {
    for (size_t i = 0; i < m * n; i++) {
      c[i] = vector[i] = start[i];
      expected[i] = in_tile_order(a, b, i / n, i % n, depth, n, accumulate ? start[i] : 0);
    }
    multiply(*model.tiles, m, depth, n, a, b, c, accumulate);
    check_same_bits(name + " in the order of tdpbf16ps", c, expected);
    multiply(*model.base, m, depth, n, a, b, vector, accumulate);
    ref::Values magnitude = ref::product(m, depth, n, a.values(), b.values()).magnitude;
    for (double& x : magnitude) x += 1;
    check_close(name + " beside the vector tile", c, vector.values(), 1e-7, 3e-6, &magnitude);
  }
}

// Denormal operands, sums and results count as zero, also on a thread that computes with denormals.
void denormal_case(const Model& model) {
  const std::string name = model.tiles->isa;
  Array a(2, Type::bf16), b(2, Type::bf16), c(1);
  const auto result = [&](float a0, float b0, float a1, float b1, float start) {
    a.put(0, a0);
    a.put(1, a1);
    b.put(0, b0);
    b.put(1, b1);
    c[0] = start;
    multiply(*model.tiles, 1, 2, 1, a, b, c, true);
    return c[0];
  };
#if defined(__x86_64__)
  const unsigned mode = _mm_getcsr();
  _mm_setcsr(mode & ~0x8040u);
#endif
  const float small = std::ldexp(1.f, -130);
  const float sums[] = {result(small, std::ldexp(1.f, 100), 1, 0, 0), result(1, 0, std::ldexp(1.f, 100), small, 0),
                        result(std::ldexp(1.f, -100), std::ldexp(1.f, -30), 1, 0, 0), result(1, 0, 1, 0, small),
                        result(std::ldexp(3.f, -126), 1, -std::ldexp(1.25f, -125), 1, 0)};
  const float normal = result(std::ldexp(1.f, -100), std::ldexp(1.f, -26), 1, 0, 0);
#if defined(__x86_64__)
  _mm_setcsr(mode);
#endif
  for (const float sum : sums) {
    uint32_t bits;
    memcpy(&bits, &sum, sizeof bits);
    check((bits & 0x7fffffffu) == 0, name + " counts denormals as zero");
  }
  check(normal == std::ldexp(1.f, -126), name + " keeps the smallest normal number");
}

}  // namespace

void test_tiles() {
  Random random(18);
  const int before = checks(), failed = failures();
  std::string ran;
  for (const Model& model : models()) {
    test_functions(*model.tiles);
    test_products(*model.tiles);
    for (const size_t depth : {1u, 2u, 31u, 32u, 33u, 511u, 512u, 545u, 1040u}) order_case(model, random, random.upto(1, 70), depth, random.upto(1, 70));
    for (const size_t m : {15u, 16u, 17u, 32u, 33u, 48u, 64u, 65u}) order_case(model, random, m, 70, random.upto(1, 140));
    denormal_case(model);
    test_attention(*model.tiles);
    test_windows(*model.tiles);
    test_program(*model.tiles);
    test_map_program(*model.tiles);
    ran += (ran.empty() ? "" : ", ") + std::string(model.tiles->isa);
  }
  const KernelTable* amx = available("amx");
  if (!amx) {
    std::string refusal;
    try {
      choose_kernels("amx");
    } catch (const std::exception& error) {
      refusal = error.what();
    }
    check(refusal.find("DROPSTREAM_ISA is \"amx\", must be one of ") == 0 && refusal.find("portable") != std::string::npos, "amx refused by name: " + refusal);
  } else if (!models().empty() && models().front().tiles->panel_width == amx->panel_width) {
    // This only prints the difference: the model has the order of additions of Intel's manual, but Intel does not guarantee the bits.
    size_t equal = 0, all = 0;
    for (const size_t depth : {32u, 197u, 768u}) {
      const size_t m = 50, n = 100;
      Array a(m * depth, Type::bf16), b(depth * n, Type::bf16), c(m * n), modelled(m * n);
      random.fill(a);
      random.fill(b);
      multiply(*amx, m, depth, n, a, b, c, false);
      multiply(*models().front().tiles, m, depth, n, a, b, modelled, false);
      for (size_t i = 0; i < m * n; i++, all++) equal += c[i] == modelled[i];
    }
    printf("amx: %zu of %zu sums have the model's bits\n", equal, all);
  }
  printf("amx: instructions %s on this machine; the model of the tile product ran (%s): %d checks, %d failed\n", amx ? "ran" : "not", ran.c_str(),
         checks() - before, failures() - failed);
}

}  // namespace dropstream::test
