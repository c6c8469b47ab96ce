#include "test/harness.h"

namespace dropstream::test {

namespace {

void attention_case(const KernelTable& k, Random& random, size_t samples, size_t tokens, size_t heads, size_t head_dim, double rate) {
  const std::string name = std::string(k.isa) + " attention n=" + std::to_string(tokens) + " h=" + std::to_string(heads) + " d=" + std::to_string(head_dim) +
                           " p=" + std::to_string(rate);
  const size_t width = heads * head_dim, jobs = samples * heads;
  Array qkv(samples * tokens * 3 * width), out(samples * tokens * width), lse(jobs * tokens), dout(samples * tokens * width), dqkv(samples * tokens * 3 * width);
  random.fill(qkv, 1.5f);
  random.fill(dout);
  const float scale = 1.0f / std::sqrt((float)head_dim);
  DropoutSite site;
  site.on = rate > 0;
  site.key0 = 5;
  site.key1 = 7;
  site.site = 3;
  site.step = 9;
  site.limit = (uint32_t)(std::ceil((1 - rate) * 4294967296.0) - 1);
  site.scale = (float)(1 / (1 - rate));
  site.elements = heads * tokens * tokens;
  std::vector<uint32_t> index(samples);
  for (size_t s = 0; s < samples; s++) index[s] = (uint32_t)(2 * s + 1);
  AttentionArgs args{tokens, heads, head_dim, scale, qkv, out, lse, dout, dqkv, site, {index.data(), 100, 0}};
  ref::Values factors(jobs * tokens * tokens, 1.0);
  if (site.on)
    for (size_t s = 0; s < samples; s++)
      for (size_t e = 0; e < site.elements; e++)
        factors[s * site.elements + e] = ref::dropout_word(7ull << 32 | 5, 3, 100 + index[s], 9, e) <= site.limit ? site.scale : 0;
  const ref::Attention expected = ref::attention(samples, tokens, heads, head_dim, scale, qkv.values(), factors, dout.values());
  Array scratch(k.attention_scratch(tokens, head_dim, false)), scratch_grad(k.attention_scratch(tokens, head_dim, true));
  const size_t half = random.upto(0, jobs);
  k.attention(args, half, jobs, scratch);
  k.attention(args, 0, half, scratch);
  check_close(name + " out", out, expected.out, 3e-6, 1e-5);
  check_close(name + " lse", lse, expected.lse, 2e-6, 1e-6);
  k.attention_grad(args, 0, jobs, scratch_grad);
  check_close(name + " dqkv", dqkv, expected.dqkv, 1e-5, 2e-5);
}

}  // namespace

void test_attention(const KernelTable& k) {
  Random random(23);
  attention_case(k, random, 2, 17, 4, 16, 0);
  attention_case(k, random, 1, 197, 1, 64, 0.1);
  attention_case(k, random, 1, 1, 1, 1, 0);
  for (int i = 0; i < 14; i++)
    attention_case(k, random, random.upto(1, 3), random.upto(1, 120), random.upto(1, 3), random.upto(1, 70), i % 2 ? 0.3 : 0.0);
}

}  // namespace dropstream::test
