// The speed of kernels on token maps, at the shapes of Swin-F and ConvNeXt-F (8 samples at 224 pixels) and of Mixer-S/16.
#include "bench/report.h"
#include "bench/timing.h"

namespace dropstream::bench {

namespace {

void convolution(const KernelTable& k, size_t side, size_t channels, Type type) {
  const size_t samples = 2, floats = samples * side * side * channels;
  Elements x(floats, type), dy(floats, type), y(floats, type);
  Floats weight(49 * channels), bias(channels), partial(samples * 50 * channels), dweight(49 * channels);
  const DepthwiseArgs forward{side, side, channels, 7, false, x, weight, bias, y}, backward{side, side, channels, 7, true, dy, weight, nullptr, y};
  const DepthwiseGradArgs grad{side, side, channels, 7, x, dy, partial};
  const double seconds[3] = {best_seconds([&] { k.depthwise_conv(forward, 0, samples * side); }),
                             best_seconds([&] { k.depthwise_conv(backward, 0, samples * side); }), best_seconds([&] {
                               for (size_t s = 0; s < samples; s++)
                                 for (size_t c = 0; c < channels; c += 64) k.depthwise_weight_grad(grad, s, c, c + 64 < channels ? c + 64 : channels);
                               k.depthwise_weight_sum(grad, samples, dweight, bias, 0, channels);
                             })};
  const std::string shape = std::to_string(side) + " x " + std::to_string(side) + " x " + std::to_string(channels);
  const char* names[3] = {"depthwise 7x7", "depthwise 7x7 input gradient", "depthwise 7x7 weight gradient"};
  for (size_t i = 0; i < 3; i++) report(k.isa, names[i], shape, type, seconds[i], 98.0 * (double)floats, 0);
}

void moves(const KernelTable& k, Type type) {
  const size_t rows = 196, width = 512, samples = 8, n = samples * rows * width, blocks = (samples * rows + 31) / 32;
  Elements x(n, type), y(n, type), z(n, type);
  Floats gamma(width), partial(blocks * width);
  const auto show = [&](const char* name, double seconds, size_t streams = 2) {
    report(k.isa, name, "8 x 196 x 512", type, seconds, 0, (double)(streams * size_of(type) * n));
  };
  show("transpose", best_seconds([&] {
         for (size_t s = 0; s < samples; s++) k.transpose(In(x) + s * rows * width, rows, width, Out(y) + s * rows * width, 0, rows);
       }));
  for (const size_t order : {0, 1}) {
    show(order ? "merge, Swin's order" : "merge", best_seconds([&] { k.merge_patches({14, 14, width, order, x, y}, 0, samples * 7); }));
    show(order ? "merge gradient, Swin's order" : "merge gradient", best_seconds([&] { k.merge_patches_grad({14, 14, width, order, x, y}, 0, samples * 7); }));
  }
  show("layer scale", best_seconds([&] { k.layer_scale(x, gamma, y, samples * rows, width); }));
  show("layer scale gradient", best_seconds([&] {
         for (size_t block = 0; block < blocks; block++) k.layer_scale_grad({samples * rows, width, 32, x, gamma, z, y, partial}, block);
       }),
       3);
}

}  // namespace

void token_maps(const KernelTable& k) {
  const size_t maps[][2] = {{56, 48}, {28, 96}, {14, 192}, {7, 384}, {56, 96}};
  for (const Type type : {Type::fp32, Type::bf16}) {
    for (const auto& m : maps) convolution(k, m[0], m[1], type);
    moves(k, type);
  }
}

}  // namespace dropstream::bench
