// Speed of the kernels on one thread, at the shapes of ViT-T/16 at 224 (8 samples of 197 tokens) and of a small ViT (64 of 17):
// npm run bench:kernels builds and runs this and prints its lines beside the machine's peaks (peak.cc).
// An argument names the one instruction set to measure. Best of seven rounds.
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
  const double weight = best_seconds([&] {
    for (size_t i = 0; i < n; i += k.weight_grad_rows)
      k.weight_grad({m, n, depth, as(dy), as(x_packed), dw, bias}, i, i + k.weight_grad_rows < n ? i + k.weight_grad_rows : n, 0, x_panels, scratch);
  });
  const double work = 2.0 * (double)(m * n * depth);
  const std::string shape = std::to_string(m) + " x " + std::to_string(depth) + " x " + std::to_string(n);
  report(k.isa, "product", shape, type, forward, work, 0);
  report(k.isa, "product with GELU", shape, type, gelu, work, 0);
  report(k.isa, "weight gradient", shape, type, weight, work, 0);
  report(k.isa, "weight gradient and its packing", shape, type, weight + pack, work, 0);
}

void maps(const KernelTable& k) {
  const size_t rows = 1576, width = 192, n = rows * width;
  Floats x(n), y(n), z(n), mean(rows), rstd(rows), weight(width), partial((rows / 32 + 1) * 2 * width), m(n), v(n);
  const uint32_t index[1] = {0};
  DropoutSite site;
  site.on = true;
  site.limit = 0xe0000000u;
  site.elements = n;
  const auto show = [&](const char* name, double seconds) { printf("%-20s %.2f ns an element\n", name, seconds * 1e9 / (double)n); };
  show("gelu", best_seconds([&] { k.gelu(x, y, n); }));
  show("gelu gradient", best_seconds([&] { k.gelu_grad(x, y, z, n); }));
  show("layer norm", best_seconds([&] { k.layer_norm({width, 1e-6f, x, weight, weight, y, mean, rstd}, 0, rows); }));
  show("layer norm gradient", best_seconds([&] {
         for (size_t block = 0; block * 32 < rows; block++) k.layer_norm_grad({rows, width, 32, x, weight, mean, rstd, y, z, partial}, block);
       }));
  show("dropout", best_seconds([&] { k.dropout({n, x, y, site, {index, 0, 0}}, 0, 0, n); }));
  const UpdateArgs update{OptimizerKind::adamw, x, y, m, v, z, 1, 1, 0, 0.9f, 0.1f, 0.999f, 0.001f, 1, 1e-8f, 0, false, 0.99f, 0.01f};
  show("adamw and ema", best_seconds([&] { k.update(update, 0, n); }));
}

}  // namespace

int main(int count, char** arguments) {
  enter_compute_mode("kernel-bench");
  for (const KernelTable* k : available_kernels()) {
    if (count > 1 && strcmp(arguments[1], k->isa)) continue;
    // ViT-T, a small ViT, Mixer-S/16 (channels, tokens), Swin's and ConvNeXt's femto widths, a head.
    const size_t shapes[][3] = {{1576, 192, 576}, {1576, 192, 192}, {1576, 192, 768}, {1576, 768, 192}, {1088, 64, 192}, {1088, 64, 64},
                                {1088, 64, 256},  {1088, 256, 64},  {1568, 512, 2048}, {1568, 2048, 512}, {4096, 196, 256}, {4096, 256, 196},
                                {6272, 40, 120},  {6272, 80, 320},  {1568, 320, 80},  {6272, 48, 192},  {1568, 192, 48},  {392, 384, 1536},
                                {392, 1536, 384}, {32, 192, 1000}};
    for (const auto& s : shapes) {
      products<float>(*k, s[0], s[1], s[2]);
      products<bf16>(*k, s[0], s[1], s[2]);
    }
    attentions(*k);
    maps(*k);
    bench::token_maps(*k);
  }
}
