#include "test/harness.h"

namespace dropstream::test {

namespace {

// Probabilities and their gradients are rounded to bf16 (2⁻⁹) before the second products, results once more; of sums of products of such
// factors about three roundings' worth remains, relative to the largest terms.
void attention_case(const KernelTable& k, Type type, Random& random, size_t samples, size_t tokens, size_t heads, size_t head_dim, double rate,
                    bool masked = false) {
  const std::string name = std::string(k.isa) + name_of(type) + " attention n=" + std::to_string(tokens) + " h=" + std::to_string(heads) +
                           " d=" + std::to_string(head_dim) + " p=" + std::to_string(rate);
  const size_t width = heads * head_dim, jobs = samples * heads;
  Array qkv(samples * tokens * 3 * width, type), out(samples * tokens * width, type), dout(samples * tokens * width, type),
      dqkv(samples * tokens * 3 * width, type);
  Array lse(jobs * tokens);
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
  std::vector<uint8_t> mask(masked ? 2 * samples * site.elements : 0);
  for (uint8_t& byte : mask) byte = random.word() % 3 != 0;
  site.mask = masked ? mask.data() : nullptr;
  AttentionArgs args{tokens, heads, head_dim, scale, qkv, out, lse, dout, dqkv, site, {index.data(), 100, 0}};
  ref::Values factors(jobs * tokens * tokens, 1.0);
  if (site.on)
    for (size_t s = 0; s < samples; s++)
      for (size_t e = 0; e < site.elements; e++)
        factors[s * site.elements + e] =
            (masked ? mask[index[s] * site.elements + e] != 0 : ref::dropout_word(7ull << 32 | 5, 3, 100 + index[s], 9, e) <= site.limit) ? site.scale : 0;
  const ref::Attention expected = ref::attention(samples, tokens, heads, head_dim, scale, qkv.values(), factors, dout.values());
  Array scratch(k.attention_scratch(tokens, head_dim, type)), scratch_grad(k.attention_grad_scratch(tokens, head_dim, type));
  const size_t cut = random.upto(0, jobs);
  const bool half = type == Type::bf16;
  k.attention(args, cut, jobs, scratch);
  k.attention(args, 0, cut, scratch);
  check_close(name + " out", out, expected.out, half ? 4e-3 : 3e-6, half ? 1e-2 : 1e-5);
  check_close(name + " lse", lse, expected.lse, 2e-6, 1e-6);
  k.attention_grad(args, 0, jobs, scratch_grad);
  check_close(name + " dqkv", dqkv, expected.dqkv, half ? 1e-2 : 1e-5, half ? 2e-2 : 2e-5);
  Array again(dqkv.size(), type);
  args.dqkv = again;
  for (size_t job = jobs; job-- > 0;) k.attention_grad(args, job, job + 1, scratch_grad);
  check(memcmp(In(again).at, In(dqkv).at, again.size() * size_of(type)) == 0, name + " dqkv, other jobs");
}

// A NaN or an infinity in one sample stays in it.
void special_case(const KernelTable& k, Type type, float special) {
  const size_t tokens = 37, d = 10, samples = 2;
  Array qkv(samples * tokens * 3 * d, type), out(samples * tokens * d, type), dout(samples * tokens * d, type), dqkv(samples * tokens * 3 * d, type);
  Array lse(samples * tokens);
  Random random(5);
  random.fill(qkv);
  random.fill(dout);
  qkv.put(5 * 3 * d + 3, special);
  const uint32_t index[] = {0, 1};
  const AttentionArgs args{tokens, 1, d, 0.3f, qkv, out, lse, dout, dqkv, {}, {index, 0, 0}};
  Array scratch(k.attention_scratch(tokens, d, type)), scratch_grad(k.attention_grad_scratch(tokens, d, type));
  k.attention(args, 0, samples, scratch);
  k.attention_grad(args, 0, samples, scratch_grad);
  const std::string name = std::string(k.isa) + name_of(type) + " attention with " + std::to_string(special);
  const ref::Values result = out.values(), grads = dqkv.values();
  check(std::isnan(result[5 * d]) && std::isfinite(result[4 * d]) && std::isnan(grads[5 * 3 * d + d]), name + " is seen");
  bool finite = true;
  for (size_t i = tokens * d; i < result.size(); i++) finite &= std::isfinite(result[i]);
  for (size_t i = tokens * 3 * d; i < grads.size(); i++) finite &= std::isfinite(grads[i]);
  check(finite, name + " stays in its sample");
}

void attention_cases(const KernelTable& k, Type type) {
  Random random(23);
  attention_case(k, type, random, 2, 17, 4, 16, 0);
  attention_case(k, type, random, 1, 197, 1, 64, 0.1);
  attention_case(k, type, random, 1, 300, 1, 20, 0.1);  // more than one block of queries
  attention_case(k, type, random, 1, 257, 1, 33, 0);    // tiles of AMX: one query and one channel more than fit
  attention_case(k, type, random, 2, 65, 2, 64, 0.1);
  attention_case(k, type, random, 1, 50, 2, 32, 0);
  attention_case(k, type, random, 1, 1, 1, 1, 0);
  for (int i = 0; i < 14; i++)
    attention_case(k, type, random, random.upto(1, 3), random.upto(1, 120), random.upto(1, 3), random.upto(1, 70), i % 2 ? 0.3 : 0.0, i % 4 == 3);
  special_case(k, type, NAN);
  special_case(k, type, INFINITY);
}

}  // namespace

void test_attention(const KernelTable& k) {
  attention_cases(k, Type::fp32);
  attention_cases(k, Type::bf16);
}

}  // namespace dropstream::test
