// The speed of kernels on rows and elements, at the shapes of ViT-T/16 (8 samples of 197 tokens), in bytes read and written per second,
// next to the rate of a plain copy of the same size.
#include "bench/report.h"
#include "bench/timing.h"

namespace dropstream::bench {

namespace {

constexpr size_t kRows = 1576, kWidth = 192, kElements = kRows * kWidth;

// `type` is the type of everything that a bf16 program stores as bf16. The residual stream and its gradient are fp32.
void typed(const KernelTable& k, Type type) {
  const size_t n = kElements, h = size_of(type), blocks = (kRows + 31) / 32;
  Floats stream(n), gradient(n), weight(kWidth), bias(kWidth), mean(kRows), rstd(kRows), partial(blocks * 2 * kWidth);
  Elements x(n, type), y(n, type), z(n, type);
  const auto show = [&](const char* name, size_t bytes, double seconds) { report(k.isa, name, "1576 x 192", type, seconds, 0, (double)(bytes * n)); };
  const uint32_t index[1] = {0};
  DropoutSite site;
  site.on = true;
  site.limit = 0xe0000000u;
  site.elements = n;
  show("copy", 2 * h, best_seconds([&] { k.copy(x, y, n); }));
  show("keep (stream to branch)", 4 + h, best_seconds([&] { k.scale(stream, 1.1f, y, n); }));
  show("add kept (branch to stream)", 8 + h, best_seconds([&] { k.add_scaled(stream, y, 0.5f, stream, n); }));
  show("gelu", 2 * h, best_seconds([&] { k.gelu(x, y, n); }));
  show("gelu gradient", 3 * h, best_seconds([&] { k.gelu_grad(x, y, z, n); }));
  show("layer norm of the stream", 4 + h, best_seconds([&] { k.layer_norm({kWidth, 1e-6f, stream, weight, bias, y, mean, rstd}, 0, kRows); }));
  const LayerNormGradArgs from_stream{kRows, kWidth, 32, stream, weight, mean, rstd, y, gradient, partial},
      from_kept{kRows, kWidth, 32, x, weight, mean, rstd, y, z, partial};
  const auto blockwise = [&](const LayerNormGradArgs& args) {
    return best_seconds([&] {
      for (size_t block = 0; block < blocks; block++) k.layer_norm_grad(args, block);
    });
  };
  show("layer norm gradient, stream", 8 + h, blockwise(from_stream));
  show("layer norm gradient, branch", 3 * h, blockwise(from_kept));
  show("dropout", 2 * h, best_seconds([&] { k.dropout({n, x, y, site, {index, 0, 0}}, 0, 0, n); }));
}

void optimizer(const KernelTable& k) {
  const size_t n = kElements, many = 24 * n;  // about as many elements as ViT-T has parameters, more than the caches hold
  Floats w(many), g(many), m(many), v(many), ema(many);
  UpdateArgs args{OptimizerKind::adamw, w, g, m, v, nullptr, 1, 1, 0, 0.9f, 0.1f, 0.999f, 0.001f, 1, 1e-8f, 0, false, 0.99f, 0.01f};
  for (float* x : {m.data(), v.data()})
    for (size_t i = 0; i < many; i++) x[i] = 0.25f;
  const auto line = [&](const char* name, size_t bytes, double seconds) { report(k.isa, name, "7262208", Type::fp32, seconds, 0, (double)(bytes * many)); };
  line("copy, beyond the caches", 8, best_seconds([&] { k.copy(w, ema, many); }));
  line("sum of squares", 4, best_seconds([&] { k.sum_squares(g, many); }));
  line("adamw", 28, best_seconds([&] { k.update(args, 0, many); }));
  args.ema = ema;
  line("adamw and ema", 36, best_seconds([&] { k.update(args, 0, many); }));
}

}  // namespace

void rows(const KernelTable& k) {
  for (const Type type : {Type::fp32, Type::bf16}) typed(k, type);
  optimizer(k);
}

}  // namespace dropstream::bench
