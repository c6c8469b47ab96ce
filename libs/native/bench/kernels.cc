// The speed of the kernels on one thread, at the shapes of ViT-T/16 at 224 pixels (8 samples of 197 tokens) and of a small ViT (64 samples
// of 17 tokens). `npm run bench:kernels` builds and runs this program, and prints its lines next to the peak rates of the machine
// (peak.cc). An argument names the only instruction set to measure. The times are the best of seven rounds.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "bench/report.h"
#include "bench/timing.h"
#include "dispatch.h"
#include "threads/thread-mode.h"

namespace {

using namespace dropstream;
using namespace dropstream::bench;

template <class T>
void products(const KernelTable& k, size_t m, size_t depth, size_t n) {
  const size_t panels = (n + k.panel_width - 1) / k.panel_width, x_panels = (depth + k.panel_width - 1) / k.panel_width;
  const Type type = sizeof(T) == sizeof(float) ? Type::fp32 : Type::bf16;
  Floats x(m * depth), w(n * depth), dw(n * depth), packed(k.packed_floats(depth, n, type)), y(m * n), pre(m * n), dy(m * n), bias(n);
  Floats x_packed(k.packed_floats(m, depth, type)), scratch(k.weight_grad_scratch);
  x.narrow<T>();
  dy.narrow<T>();
  const auto as = [&](Floats& floats) { return Out(floats.data(), type); };
  k.pack_columns({depth, n, w, depth, as(packed)}, 0, panels);
  const ProductArgs plain{m, depth, n, as(x), depth, false, as(packed), as(y), n, false, bias, Epilogue::none, nullptr};
  ProductArgs fused = plain;
  fused.epilogue = Epilogue::gelu;
  fused.side = as(pre);
  const double forward = best_seconds([&] { k.product(plain, 0, m, 0, panels); });
  const double gelu = best_seconds([&] { k.product(fused, 0, m, 0, panels); });
  const double pack = best_seconds([&] { k.pack_rows({m, depth, as(x), depth, as(x_packed)}, 0, x_panels, 0, m); });
  WeightGradArgs gradient{m, n, depth, as(dy), as(x_packed), dw, bias};
  const bool packs_both = k.weight_grad_packs_both && type == Type::bf16;
  if (packs_both) gradient.x = as(x);
  const double weight = best_seconds([&] {
    for (size_t i = 0; i < n; i += k.weight_grad_rows)
      k.weight_grad(gradient, i, i + k.weight_grad_rows < n ? i + k.weight_grad_rows : n, 0, x_panels, scratch);
  });
  const double work = 2.0 * (double)(m * n * depth);
  const std::string shape = std::to_string(m) + " x " + std::to_string(depth) + " x " + std::to_string(n);
  report(k.isa, "product", shape, type, forward, work, 0);
  report(k.isa, "product with GELU", shape, type, gelu, work, 0);
  if (!packs_both) report(k.isa, "weight gradient", shape, type, weight, work, 0);
  report(k.isa, "weight gradient and its packing", shape, type, packs_both ? weight : weight + pack, work, 0);
}

}  // namespace

int main(int count, char** arguments) {
  enter_compute_mode("kernel-bench");
  for (const KernelTable* k : available_kernels()) {
    if (count > 1 && strcmp(arguments[1], k->isa) != 0) continue;
    // ViT-T, a small ViT, Mixer-S/16 (channels, tokens), the widths of Swin-F and ConvNeXt-F, a head.
    const size_t shapes[][3] = {{1576, 192, 576}, {1576, 192, 192},  {1576, 192, 768},  {1576, 768, 192}, {1088, 64, 192},  {1088, 64, 64},  {1088, 64, 256},
                                {1088, 256, 64},  {1568, 512, 2048}, {1568, 2048, 512}, {4096, 196, 256}, {4096, 256, 196}, {6272, 40, 120}, {6272, 80, 320},
                                {1568, 320, 80},  {6272, 48, 192},   {1568, 192, 48},   {392, 384, 1536}, {392, 1536, 384}, {32, 192, 1000}};
    for (const auto& s : shapes) {
      products<float>(*k, s[0], s[1], s[2]);
      products<bf16>(*k, s[0], s[1], s[2]);
    }
    attentions(*k);
    bench::rows(*k);
    bench::token_maps(*k);
  }
}
