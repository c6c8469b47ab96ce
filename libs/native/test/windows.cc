#include "ref/maps.h"
#include "test/harness.h"

namespace dropstream::test {

namespace {

// Tolerances as in attention.cc.
void window_case(const KernelTable& k, Type type, Random& random, const ref::Windows& p, double rate, bool masked = false) {
  const std::string name = std::string(k.isa) + name_of(type) + " window_attention " + std::to_string(p.height) + "x" + std::to_string(p.width) +
                           " w=" + std::to_string(p.window) + " shift=" + std::to_string(p.shift) + " h=" + std::to_string(p.heads) +
                           " d=" + std::to_string(p.head_dim) + " p=" + std::to_string(rate);
  const size_t width = p.heads * p.head_dim, tokens = p.samples * p.height * p.width, n = p.places(), jobs = p.samples * p.count() * p.heads;
  const size_t entries = (2 * p.window - 1) * (2 * p.window - 1) * p.heads, stride = k.window_stride(p.window, type);
  Array qkv(tokens * 3 * width, type), out(tokens * width, type), dout(tokens * width, type), dqkv(tokens * 3 * width, type);
  Array lse(jobs * n), table(entries), bias(p.heads * n * stride);
  random.fill(qkv, 1.5f);
  random.fill(dout);
  random.fill(table, 2);
  for (size_t h = 0; h < p.heads; h++) k.window_bias(table, p.window, p.heads, h, type, bias + h * n * stride);
  DropoutSite site;
  site.on = rate > 0;
  site.key0 = 5;
  site.key1 = 7;
  site.site = 3;
  site.step = 9;
  site.limit = (uint32_t)(std::ceil((1 - rate) * 4294967296.0) - 1);
  site.scale = (float)(1 / (1 - rate));
  site.elements = p.count() * p.heads * n * n;
  std::vector<uint32_t> index(p.samples);
  for (size_t s = 0; s < p.samples; s++) index[s] = (uint32_t)(2 * s + 1);
  std::vector<uint8_t> mask(masked ? 2 * p.samples * site.elements : 0);
  for (uint8_t& byte : mask) byte = random.word() % 3 != 0;
  site.mask = masked ? mask.data() : nullptr;
  ref::Values factors(jobs * n * n, 1.0);
  if (site.on)
    for (size_t s = 0; s < p.samples; s++)
      for (size_t e = 0; e < site.elements; e++)
        factors[s * site.elements + e] =
            (masked ? mask[index[s] * site.elements + e] != 0 : ref::dropout_word(7ull << 32 | 5, 3, 100 + index[s], 9, e) <= site.limit) ? site.scale : 0;
  const float scale = 1.0f / std::sqrt((float)p.head_dim);
  const ref::WindowAttention expected = ref::window_attention(p, scale, qkv.values(), table.values(), factors, dout.values());
  const size_t together = random.upto(1, 3), groups = (p.samples * p.count() + together - 1) / together;
  Array partial(groups * entries), dtable(entries), scratch(k.window_scratch(p.window, p.head_dim, type));
  Array scratch_grad(k.window_grad_scratch(p.window, p.head_dim, type));
  const WindowArgs args{
      p.height, p.width, p.window, p.shift, p.heads, p.head_dim, scale, qkv, bias, out, lse, dout, dqkv, partial, together, site, {index.data(), 100, 0}};
  const size_t cut = random.upto(0, jobs);
  const bool half = type == Type::bf16;
  k.window_attention(args, cut, jobs, scratch);
  k.window_attention(args, 0, cut, scratch);
  check_close(name + " out", out, expected.out, half ? 4e-3 : 4e-6, half ? 1e-2 : 1e-5);
  check_close(name + " lse", lse, expected.lse, 3e-6, 1e-6);
  for (size_t job = groups * p.heads; job-- > 0;) k.window_attention_grad(args, p.samples, job, scratch_grad);
  dtable.fill(0);
  k.sum_samples(partial, groups, entries, dtable, 0, entries);
  check_close(name + " dqkv", dqkv, expected.dqkv, half ? 1e-2 : 2e-5, half ? 2e-2 : 3e-5);
  // The table's gradients are sums of fp32 dS; in bf16 their D comes from a rounded out.
  check_close(name + " dtable", dtable, expected.dtable, (half ? 4e-3 : 2e-6) * (double)(p.samples * p.count() * n), half ? 1e-3 : 3e-5);
}

void window_cases(const KernelTable& k, Type type) {
  Random random(61);
  window_case(k, type, random, {1, 1, 1, 1, 0, 1, 1}, 0);
  window_case(k, type, random, {2, 7, 7, 7, 0, 3, 32}, 0);
  window_case(k, type, random, {2, 14, 14, 7, 3, 2, 32}, 0);
  window_case(k, type, random, {1, 14, 28, 7, 3, 2, 10}, 0.1);
  window_case(k, type, random, {1, 24, 12, 12, 5, 1, 64}, 0.2);  // 144 places: two blocks of queries
  window_case(k, type, random, {1, 6, 18, 6, 3, 2, 17}, 0);      // a window as high as the map, rolled all the same
  for (size_t i = 0; i < 14; i++) {
    const size_t window = random.upto(1, 6), shift = i % 3 ? random.upto(0, window - 1) : 0;
    window_case(k, type, random,
                {random.upto(1, 2), window * random.upto(1, 3), window * random.upto(1, 3), window, shift, random.upto(1, 3), random.upto(1, 70)},
                i % 2 ? 0.3 : 0, i % 4 == 3);
  }
}

}  // namespace

void test_windows(const KernelTable& k) {
  window_cases(k, Type::fp32);
  window_cases(k, Type::bf16);
}

}  // namespace dropstream::test
