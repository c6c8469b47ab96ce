// Window attention for bf16 in tiles; fp32 goes to the vector kernels. Jobs and partial tables are those of kernels/window.
#include "kernels/amx/attention-backward.h"
#include "kernels/amx/attention-forward.h"
#include "kernels/window/head.h"

namespace dropstream {
namespace DROPSTREAM_BASE {
size_t window_stride(size_t window, Type type);
void window_bias(const float* table, size_t window, size_t heads, size_t head, Type type, float* bias);
void window_attention(const WindowArgs&, size_t job_begin, size_t job_end, float* scratch);
void window_attention_grad(const WindowArgs&, size_t samples, size_t job, float* scratch);
size_t window_scratch(size_t window, size_t head_dim, Type type);
size_t window_grad_scratch(size_t window, size_t head_dim, Type type);
}  // namespace DROPSTREAM_BASE
namespace DROPSTREAM_ISA {

size_t window_stride(size_t window, Type type) { return type == Type::fp32 ? DROPSTREAM_BASE::window_stride(window, type) : round_up(window * window, kBlock); }

// bias[key][query] = log2 e · table[(y_query − y_key + w − 1)(2w − 1) + (x_query − x_key + w − 1)][head], transposed like the scores.
void window_bias(const float* table, size_t window, size_t heads, size_t head, Type type, float* bias) {
  if (type == Type::fp32) return DROPSTREAM_BASE::window_bias(table, window, heads, head, type, bias);
  const size_t n = window * window, stride = window_stride(window, type), side = 2 * window - 1;
  for (size_t key = 0; key < n; key++, bias += stride) {
    const size_t from = (window - 1 - key / window) * side + window - 1 - key % window;
    for (size_t y = 0; y < window; y++)
      for (size_t x = 0; x < window; x++) bias[y * window + x] = table[(from + y * side + x) * heads + head] * kBase<bf16>;
    for (size_t query = n; query < stride; query++) bias[query] = 0;
  }
}

namespace {

struct WindowPlace {
  const uint32_t* token;
  DS_INLINE size_t operator()(size_t place) const { return token[place]; }
};

// The bias of a block of queries, the mask where the roll joined regions, and the sums of dS (null in the forward pass).
template <bool kJoined>
struct WindowBias {
  static constexpr bool kAny = true;
  const float* bias;  // [key][stride], from the block's first query on, like total
  size_t stride;
  const float* regions;  // of places
  float* total;
  Vec own[kAcross];
  DS_INLINE WindowBias(const float* bias_, size_t stride_, const float* regions_, size_t begin, float* total_)
      : bias(bias_ + begin), stride(stride_), regions(regions_), total(total_ ? total_ + begin : nullptr) {
    if (kJoined) load_row(regions + begin, own);
  }
  DS_INLINE Vec of(size_t key, size_t part) const { return load(bias + key * stride + part * kLanes); }
  DS_INLINE Vec operator()(Vec score, size_t key, size_t part) const {
    if constexpr (!kJoined) return score;
    return score + (splat(regions[key]) == own[part] ? zero() : splat(kApart * kBase<bf16>));
  }
  DS_INLINE void add(Vec gradient, size_t key, size_t part) const {
    float* at = total + key * stride + part * kLanes;
    store(at, load(at) + gradient);
  }
};

template <bool kIs>
struct Truth {
  static constexpr bool kValue = kIs;
};
// Calls body(whether the roll joined regions in the window), as a type, after filling `regions` if it did.
template <class Body>
DS_INLINE void with_regions(const WindowArgs& p, const Window& w, float* regions, Body body) {
  if (!w.joined(p)) return body(Truth<false>());
  region_row(p, w, regions);
  body(Truth<true>());
}

DS_INLINE TiledHead<WindowPlace> window_head(const WindowArgs& p, const Window& w, size_t job, const uint32_t* token) {
  const size_t n = p.window * p.window, width = p.heads * p.head_dim, at = w.sample * p.height * p.width * width, channel = w.head * p.head_dim;
  const bf16* q = p.qkv.halves() + 3 * at + channel;
  TiledHead<WindowPlace> head{n,     p.head_dim,     {token}, p.scale, p.site.scale, q, q + width, q + 2 * width, 3 * width, p.out.halves() + at + channel,
                              width, p.lse + job * n};
  if (p.dqkv) {
    head.dout = p.dout.halves() + at + channel;
    head.dq = p.dqkv.halves() + 3 * at + channel;
    head.dk = head.dq + width;
    head.dv = head.dk + width;
  }
  return head;
}

// Scatters total[key][stride] into this head's column of partial[(2w − 1)²][heads].
void scatter_total(const WindowArgs& p, size_t head, const float* total, size_t stride, float* partial) {
  const size_t w = p.window, side = 2 * w - 1;
  for (size_t row = 0; row < side * side; row++) partial[row * p.heads + head] = 0;
  for (size_t key = 0; key < w * w; key++, total += stride) {
    float* to = partial + ((w - 1 - key / w) * side + w - 1 - key % w) * p.heads + head;
    for (size_t y = 0; y < w; y++)
      for (size_t x = 0; x < w; x++) to[(y * side + x) * p.heads] += total[y * w + x];
  }
}

}  // namespace

void window_attention(const WindowArgs& p, size_t job_begin, size_t job_end, float* scratch) {
  if (p.qkv.type == Type::fp32) return DROPSTREAM_BASE::window_attention(p, job_begin, job_end, scratch);
  const size_t n = p.window * p.window, stride = window_stride(p.window, Type::bf16);
  Carve carve{at_line(scratch)};
  const ForwardTiles s(carve, n, p.head_dim);
  float* regions = carve.take(stride);
  memset(regions, 0, stride * sizeof(float));
  for (size_t job = job_begin; job < job_end; job++) {
    const Window w(p, job);
    const Places places(p, w);
    const auto kept = [&](size_t begin, size_t queries) { return KeptPlaces(p, w, begin, queries, s.bits); };
    with_regions(p, w, regions, [&](auto joined) {
      forward_head(window_head(p, w, job, places.token), s, kept,
                   [&](size_t begin) { return WindowBias<decltype(joined)::kValue>(p.bias + w.head * n * stride, stride, regions, begin, nullptr); });
    });
  }
}

void window_attention_grad(const WindowArgs& p, size_t samples, size_t job, float* scratch) {
  if (p.qkv.type == Type::fp32) return DROPSTREAM_BASE::window_attention_grad(p, samples, job, scratch);
  const size_t n = p.window * p.window, stride = window_stride(p.window, Type::bf16);
  const size_t windows = samples * (p.height * p.width / n), head = job % p.heads, group = job / p.heads;
  Carve carve{at_line(scratch)};
  const BackwardTiles s(carve, n, p.head_dim);
  float *regions = carve.take(stride), *total = carve.take(n * stride);
  memset(regions, 0, stride * sizeof(float));
  memset(total, 0, n * stride * sizeof(float));
  for (size_t at = group * p.windows_per_partial; at < min(windows, (group + 1) * p.windows_per_partial); at++) {
    const Window w(p, at * p.heads + head);
    const Places places(p, w);
    const auto kept = [&](size_t begin, size_t queries) { return KeptPlaces(p, w, begin, queries, s.bits); };
    with_regions(p, w, regions, [&](auto joined) {
      backward_head(window_head(p, w, at * p.heads + head, places.token), s, kept,
                    [&](size_t begin) { return WindowBias<decltype(joined)::kValue>(p.bias + head * n * stride, stride, regions, begin, total); });
    });
  }
  scatter_total(p, head, total, stride, p.partial + group * (2 * p.window - 1) * (2 * p.window - 1) * p.heads);
}

size_t window_scratch(size_t window, size_t head_dim, Type type) {
  if (type == Type::fp32) return DROPSTREAM_BASE::window_scratch(window, head_dim, type);
  Carve carve{nullptr};
  ForwardTiles(carve, window * window, head_dim);
  carve.take(window_stride(window, type));
  return carve.floats() + kLineFloats;
}

size_t window_grad_scratch(size_t window, size_t head_dim, Type type) {
  if (type == Type::fp32) return DROPSTREAM_BASE::window_grad_scratch(window, head_dim, type);
  Carve carve{nullptr};
  BackwardTiles(carve, window * window, head_dim);
  carve.take((window * window + 1) * window_stride(window, type));
  return carve.floats() + kLineFloats;
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
