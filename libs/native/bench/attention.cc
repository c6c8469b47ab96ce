// Attention of ViT-T (197 tokens, heads of 64) and of a small ViT, and window attention of the stages of Swin-F and Swin-T.
#include <cstdio>
#include <string>

#include "bench/report.h"
#include "bench/timing.h"

namespace dropstream::bench {

namespace {

template <class T>
constexpr Type kType = sizeof(T) == sizeof(float) ? Type::fp32 : Type::bf16;

// Seconds and operations for one head (of one window). The backward pass computes the scores again, and then dv, dp, dq and dk.
void report_head(const char* isa, const std::string& kernel, const std::string& shape, Type type, double rate, double work, double forward, double backward) {
  char dropout[32] = "";
  if (rate > 0) snprintf(dropout, sizeof dropout, ", dropout %.1f", rate);
  report(isa, kernel, shape + dropout, type, forward, work, 0);
  report(isa, kernel + " gradient", shape + dropout, type, backward, 2.5 * work, 0);
}

DropoutSite site_of(double rate, size_t elements) {
  DropoutSite site;
  site.on = rate > 0;
  site.limit = (uint32_t)((1 - rate) * 4294967295.0);
  site.scale = (float)(1 / (1 - rate));
  site.elements = elements;
  return site;
}

template <class T>
void whole(const KernelTable& k, size_t tokens, size_t head_dim, double rate) {
  const size_t heads = 4, samples = 4, jobs = heads * samples, width = heads * head_dim;
  Floats qkv(samples * tokens * 3 * width), out(samples * tokens * width), lse(jobs * tokens), dout(samples * tokens * width),
      dqkv(samples * tokens * 3 * width);
  Floats scratch(k.attention_scratch(tokens, head_dim, kType<T>) + k.attention_grad_scratch(tokens, head_dim, kType<T>));
  qkv.narrow<T>();
  dout.narrow<T>();
  const auto as = [](Floats& floats) { return Out(floats.data(), kType<T>); };
  const uint32_t index[samples] = {0, 1, 2, 3};
  const AttentionArgs args{tokens, heads, head_dim, 0.125f, as(qkv), as(out), lse, as(dout), as(dqkv), site_of(rate, heads * tokens * tokens), {index, 0, 0}};
  const double forward = best_seconds([&] { k.attention(args, 0, jobs, scratch); }), backward = best_seconds([&] { k.attention_grad(args, 0, jobs, scratch); });
  const double work = 4.0 * (double)(tokens * tokens * head_dim), count = (double)jobs;
  report_head(k.isa, "attention", std::to_string(tokens) + " x " + std::to_string(head_dim), kType<T>, rate, work, forward / count, backward / count);
}

template <class T>
void window(const KernelTable& k, size_t side, size_t heads, size_t head_dim, size_t shift, double rate) {
  const size_t window = 7, samples = 2, n = window * window, windows = side / window * (side / window), width = heads * head_dim,
               tokens = samples * side * side;
  const size_t jobs = samples * windows * heads, entries = 169 * heads, together = 8, groups = (samples * windows + together - 1) / together;
  Floats qkv(tokens * 3 * width), out(tokens * width), lse(jobs * n), dout(tokens * width), dqkv(tokens * 3 * width), table(entries), partial(groups * entries);
  Floats bias(heads * n * k.window_stride(window, kType<T>)),
      scratch(k.window_scratch(window, head_dim, kType<T>) + k.window_grad_scratch(window, head_dim, kType<T>));
  for (size_t h = 0; h < heads; h++) k.window_bias(table, window, heads, h, kType<T>, bias + h * n * k.window_stride(window, kType<T>));
  qkv.narrow<T>();
  dout.narrow<T>();
  const auto as = [](Floats& floats) { return Out(floats.data(), kType<T>); };
  const uint32_t index[samples] = {0, 1};
  const WindowArgs args{side,         side,    window, shift,    heads,    head_dim, 0.2f,     as(qkv),
                        bias,         as(out), lse,    as(dout), as(dqkv), partial,  together, site_of(rate, windows * heads * n * n),
                        {index, 0, 0}};
  const double forward = best_seconds([&] { k.window_attention(args, 0, jobs, scratch); });
  const double backward = best_seconds([&] {
    for (size_t job = 0; job < groups * heads; job++) k.window_attention_grad(args, samples, job, scratch);
  });
  const double work = 4.0 * (double)(n * n * head_dim), count = (double)jobs;
  const std::string map = std::to_string(side) + " x " + std::to_string(side), shape = map + ", " + std::to_string(heads) + " x " + std::to_string(head_dim);
  report_head(k.isa, "window attention", shape + (shift ? ", shifted" : ""), kType<T>, rate, work, forward / count, backward / count);
}

template <class T>
void all(const KernelTable& k) {
  for (const double rate : {0.0, 0.1}) {
    whole<T>(k, 197, 64, rate);
    whole<T>(k, 17, 16, rate);
  }
  for (const double rate : {0.0, 0.1}) window<T>(k, 56, 2, 20, 3, rate);
  window<T>(k, 14, 8, 20, 0, 0);
  window<T>(k, 56, 3, 32, 0, 0);
}

}  // namespace

void attentions(const KernelTable& k) {
  all<float>(k);
  all<bf16>(k);
}

}  // namespace dropstream::bench
