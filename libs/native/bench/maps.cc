// The kernels on token maps, at the shapes of Swin-F and ConvNeXt-F (8 samples at 224) and Mixer-S/16.
#include <cstdio>

#include "bench/timing.h"

namespace dropstream::bench {

namespace {

void window(const KernelTable& k, size_t side, size_t heads, size_t head_dim, size_t shift, double rate) {
  const size_t window = 7, samples = 2, n = window * window, windows = side / window * (side / window), width = heads * head_dim, tokens = samples * side * side;
  const size_t jobs = samples * windows * heads, entries = 169 * heads, together = 8, groups = (samples * windows + together - 1) / together;
  Floats qkv(tokens * 3 * width), out(tokens * width), lse(jobs * n), dout(tokens * width), dqkv(tokens * 3 * width), table(entries), partial(groups * entries);
  Floats bias(heads * n * k.window_stride(window)), scratch(k.window_scratch(window, head_dim, true) + k.window_scratch(window, head_dim, false));
  for (size_t h = 0; h < heads; h++) k.window_bias(table, window, heads, h, bias + h * n * k.window_stride(window));
  const uint32_t index[samples] = {0, 1};
  DropoutSite site;
  site.on = rate > 0;
  site.limit = (uint32_t)((1 - rate) * 4294967295.0);
  site.elements = windows * heads * n * n;
  const WindowArgs args{side, side, window, shift, heads, head_dim, 0.2f, qkv, bias, out, lse, dout, dqkv, partial, together, site, {index, 0, 0}};
  const double forward = best_seconds([&] { k.window_attention(args, 0, jobs, scratch); });
  const double backward = best_seconds([&] {
    for (size_t job = 0; job < groups * heads; job++) k.window_attention_grad(args, samples, job, scratch);
  });
  const double work = 4.0 * (double)(n * n * head_dim) / 1e3;
  printf("window attention %zux%zu, %zu heads of %zu, shift %zu, dropout %.1f: forward %5.2f µs a head (%.0f GFLOP/s), backward %5.2f (%.0f)\n", side, side, heads, head_dim,
         shift, rate, forward * 1e6 / (double)jobs, work / (forward * 1e6 / (double)jobs) , backward * 1e6 / (double)jobs, 2.5 * work / (backward * 1e6 / (double)jobs));
}

void convolution(const KernelTable& k, size_t side, size_t channels) {
  const size_t samples = 2, floats = samples * side * side * channels;
  Floats x(floats), dy(floats), y(floats), weight(49 * channels), bias(channels), partial(samples * 50 * channels), dweight(49 * channels);
  const DepthwiseArgs forward{side, side, channels, 7, false, x, weight, bias, y}, backward{side, side, channels, 7, true, dy, weight, nullptr, y};
  const DepthwiseGradArgs grad{side, side, channels, 7, x, dy, partial};
  const double seconds[3] = {best_seconds([&] { k.depthwise_conv(forward, 0, samples * side); }), best_seconds([&] { k.depthwise_conv(backward, 0, samples * side); }),
                             best_seconds([&] {
                               for (size_t s = 0; s < samples; s++)
                                 for (size_t c = 0; c < channels; c += 64) k.depthwise_weight_grad(grad, s, c, c + 64 < channels ? c + 64 : channels);
                               k.depthwise_weight_sum(grad, samples, dweight, bias, 0, channels);
                             })};
  const double work = 98.0 * (double)floats / 1e9;
  printf("depthwise 7x7 on %zux%zux%zu: forward %.0f GFLOP/s, input gradient %.0f, weight gradient %.0f\n", side, side, channels, work / seconds[0], work / seconds[1], work / seconds[2]);
}

void moves(const KernelTable& k) {
  const size_t rows = 196, width = 512, samples = 8, n = samples * rows * width, blocks = (samples * rows + 31) / 32;
  Floats x(n), y(n), z(n), gamma(width), partial(blocks * width);
  const auto show = [&](const char* name, double seconds) { printf("%-20s %.2f ns an element\n", name, seconds * 1e9 / (double)n); };
  show("transpose", best_seconds([&] {
         for (size_t s = 0; s < samples; s++) k.transpose(x + s * rows * width, rows, width, y + s * rows * width, 0, rows);
       }));
  for (const size_t order : {0, 1}) {
    show(order ? "merge, Swin's order" : "merge", best_seconds([&] { k.merge_patches({14, 14, width, order, x, y}, 0, samples * 7); }));
    show("  and back", best_seconds([&] { k.merge_patches_grad({14, 14, width, order, x, y}, 0, samples * 7); }));
  }
  show("layer scale", best_seconds([&] { k.layer_scale(x, gamma, y, samples * rows, width); }));
  show("layer scale gradient", best_seconds([&] {
         for (size_t block = 0; block < blocks; block++) k.layer_scale_grad({samples * rows, width, 32, x, gamma, z, y, partial}, block);
       }));
}

}  // namespace

void token_maps(const KernelTable& k) {
  for (const double rate : {0.0, 0.1}) window(k, 56, 3, 16, 3, rate);
  window(k, 56, 3, 32, 0, 0);
  window(k, 14, 12, 32, 3, 0);
  const size_t maps[][2] = {{56, 48}, {28, 96}, {14, 192}, {7, 384}, {56, 96}};
  for (const auto& m : maps) convolution(k, m[0], m[1]);
  moves(k);
}

}  // namespace dropstream::bench
