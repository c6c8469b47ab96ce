// The kernels on token maps [samples, height·width, channels], as plain loops in double.
#pragma once
#include "ref/reference.h"

namespace dropstream::ref {

struct Map {
  size_t samples, height, width, channels;
};

// w[c][k][k]; y and dx have the map's shape.
struct Convolution {
  Values y, dx, dweight, dbias;
};
Convolution depthwise_conv(const Map& map, size_t kernel, const Values& x, const Values& weight, const Values& bias, const Values& dy);

// The column of channel c of the neighbour (dy, dx) in a merged token.
size_t merged_column(size_t order, size_t channels, size_t c, size_t dy, size_t dx);
Values merge_patches(const Map& map, size_t order, const Values& x);

struct LayerScale {
  Values y, dx, dgamma;
};
LayerScale layer_scale(size_t rows, size_t width, const Values& x, const Values& gamma, const Values& dy);

struct Windows {
  size_t samples, height, width, window, shift, heads, head_dim;
  size_t count() const { return height / window * (width / window); }
  size_t places() const { return window * window; }
};
// factors[s][window][head][query][key] are 1 if dropout is off; table[(2w − 1)²][heads].
struct WindowAttention {
  Values out, lse, dqkv, dtable;
};
WindowAttention window_attention(const Windows& shape, double scale, const Values& qkv, const Values& table, const Values& factors, const Values& dout);

}  // namespace dropstream::ref
