#include <algorithm>
#include <stdexcept>

#include "test/harness.h"
#include "test/program-runs.h"
#include "vm/validate.h"

namespace dropstream::test {

namespace {

using Attributes = std::map<std::string, double>;

struct Builder {
  ProgramSpec spec;
  Operand value(size_t floats) {
    spec.values.push_back({spec.arena_floats, floats});
    spec.arena_floats += (floats * spec.chunk_samples + 15) / 16 * 16;
    return {OperandKind::value, (uint32_t)spec.values.size() - 1};
  }
  uint32_t param(size_t size) {
    spec.parameters.push_back(size);
    return (uint32_t)spec.parameters.size() - 1;
  }
};

Operand p(uint32_t i) { return {OperandKind::param, i}; }
Operand g(uint32_t i) { return {OperandKind::grad, i}; }

// A network over an 8×12 map of 20 channels with every kernel on maps: patches → linear → drop path [linear → windows of 4, shifted by 2,
// with dropout → layer scale] → depthwise 7×7 → merging (both orders) → token mixing between two transposes → mean → head → loss.
ProgramSpec map_spec() {
  Builder b;
  b.spec.chunk_samples = 5;
  b.spec.image_floats = 16 * 24;
  b.spec.classes = 10;
  b.spec.paths = 1;
  const size_t h = 8, w = 12, t = h * w, d = 20, heads = 2, t2 = t / 4, d2 = 4 * d, t3 = t2 / 4, d3 = 24, d4 = 4 * d3;
  b.spec.sites = {t * heads * 16};
  const uint32_t pw = b.param(4 * d), pb = b.param(d), qw = b.param(3 * d * d), qb = b.param(3 * d), table = b.param(49 * heads), gamma = b.param(d),
                 cw = b.param(49 * d), cb = b.param(d), rw = b.param(d2 * d3), rb = b.param(d3), mw = b.param(t3 * t3), mb = b.param(t3), hw = b.param(10 * d4),
                 hb = b.param(10);
  const Operand cols = b.value(t * 4), x = b.value(t * d), kept = b.value(t * d), qkv = b.value(3 * t * d), att = b.value(t * d), lse = b.value(t * heads),
                scaled = b.value(t * d), sum = b.value(t * d), conv = b.value(t * d), merged = b.value(t2 * d2), reduced = b.value(t2 * d3),
                again = b.value(t3 * d4), transposed = b.value(t3 * d4), mixed = b.value(t3 * d4), back = b.value(t3 * d4), mean = b.value(d4),
                logits = b.value(10), loss = b.value(1), dlogits = b.value(10);
  const Operand dmean = b.value(d4), dback = b.value(t3 * d4), dmixed = b.value(t3 * d4), dtransposed = b.value(t3 * d4), dagain = b.value(t3 * d4),
                dreduced = b.value(t2 * d3), dmerged = b.value(t2 * d2), dconv = b.value(t * d), dsum = b.value(t * d), dkept = b.value(t * d),
                datt = b.value(t * d), dqkv = b.value(3 * t * d), dbranch = b.value(t * d), dx = b.value(t * d);
  b.spec.logits = logits.index;
  b.spec.loss = loss.index;
  const auto linear = [](size_t rows, size_t in, size_t out) { return Attributes{{"rows", (double)rows}, {"in", (double)in}, {"out", (double)out}}; };
  const auto biased = [](Attributes a) {
    a["bias"] = 1;
    return a;
  };
  const Attributes windows{{"height", h}, {"width", w}, {"window", 4}, {"shift", 2}, {"heads", heads}, {"head_dim", d / heads}, {"scale", 0.3}};
  const Attributes map{{"height", h}, {"width", w}, {"channels", d}, {"kernel", 7}}, rows{{"rows", t}, {"width", d}},
      path{{"width", (double)(t * d)}, {"path", 0}, {"scaled", 1}};
  const Attributes gather{{"width", (double)(t * d)}, {"path", 0}}, merge{{"height", h}, {"width", w}, {"channels", d}, {"order", 1}};
  const Attributes merge_again{{"height", h / 2}, {"width", w / 2}, {"channels", d3}, {"order", 0}}, tokens{{"tokens", t3}, {"width", d4}},
      channels{{"tokens", d4}, {"width", t3}};
  b.spec.forward = {
      {"patches", 0, {{OperandKind::images, 0}}, {cols}, {{"channels", 1}, {"height", 16}, {"width", 24}, {"patch", 2}}, -1},
      {"linear", 0, {cols, p(pw), p(pb)}, {x}, biased(linear(t, 4, d)), -1},
      {"gather_kept", 1, {x}, {kept}, gather, -1},
      {"linear", 1, {kept, p(qw), p(qb)}, {qkv}, biased(linear(t, d, 3 * d)), -1},
      {"window_attention", 1, {qkv, p(table)}, {att, lse}, windows, 0},
      {"layer_scale", 1, {att, p(gamma)}, {scaled}, rows, -1},
      {"scatter_add_kept", 0, {x, scaled}, {sum}, path, -1},
      {"depthwise_conv", 0, {sum, p(cw), p(cb)}, {conv}, map, -1},
      {"merge_patches", 0, {conv}, {merged}, merge, -1},
      {"linear", 0, {merged, p(rw), p(rb)}, {reduced}, biased(linear(t2, d2, d3)), -1},
      {"merge_patches", 0, {reduced}, {again}, merge_again, -1},
      {"transpose_tokens", 0, {again}, {transposed}, tokens, -1},
      {"linear", 0, {transposed, p(mw), p(mb)}, {mixed}, biased(linear(d4, t3, t3)), -1},
      {"transpose_tokens", 0, {mixed}, {back}, channels, -1},
      {"mean_tokens", 0, {back}, {mean}, tokens, -1},
      {"linear", 0, {mean, p(hw), p(hb)}, {logits}, biased(linear(1, d4, 10)), -1},
      {"softmax_cross_entropy", 0, {logits, {OperandKind::targets, 0}}, {loss, dlogits}, {{"classes", 10}}, -1},
  };
  b.spec.backward = {
      {"linear_weight_grad", 0, {mean, dlogits}, {g(hw), g(hb)}, linear(1, d4, 10), -1},
      {"linear_input_grad", 0, {dlogits, p(hw)}, {dmean}, linear(1, d4, 10), -1},
      {"mean_tokens_grad", 0, {dmean}, {dback}, tokens, -1},
      {"transpose_tokens", 0, {dback}, {dmixed}, tokens, -1},
      {"linear_weight_grad", 0, {transposed, dmixed}, {g(mw), g(mb)}, linear(d4, t3, t3), -1},
      {"linear_input_grad", 0, {dmixed, p(mw)}, {dtransposed}, linear(d4, t3, t3), -1},
      {"transpose_tokens", 0, {dtransposed}, {dagain}, channels, -1},
      {"merge_patches_grad", 0, {dagain}, {dreduced}, merge_again, -1},
      {"linear_weight_grad", 0, {merged, dreduced}, {g(rw), g(rb)}, linear(t2, d2, d3), -1},
      {"linear_input_grad", 0, {dreduced, p(rw)}, {dmerged}, linear(t2, d2, d3), -1},
      {"merge_patches_grad", 0, {dmerged}, {dconv}, merge, -1},
      {"depthwise_conv_weight_grad", 0, {sum, dconv}, {g(cw), g(cb)}, map, -1},
      {"depthwise_conv_input_grad", 0, {dconv, p(cw)}, {dsum}, map, -1},
      {"gather_kept", 1, {dsum}, {dkept}, path, -1},
      {"layer_scale_grad", 1, {att, p(gamma), dkept}, {datt, g(gamma)}, rows, -1},
      {"window_attention_grad", 1, {qkv, p(table), att, lse, datt}, {dqkv, g(table)}, windows, 0},
      {"linear_weight_grad", 1, {kept, dqkv}, {g(qw), g(qb)}, linear(t, d, 3 * d), -1},
      {"linear_input_grad", 1, {dqkv, p(qw)}, {dbranch}, linear(t, d, 3 * d), -1},
      {"scatter_add_kept", 0, {dsum, dbranch}, {dx}, gather, -1},
      {"linear_weight_grad", 0, {cols, dx}, {g(pw), g(pb)}, linear(t, 4, d), -1},
  };
  return b.spec;
}

// The map program with one attribute changed is rejected with that message.
void check_refusal(const char* kernel, const char* attribute, double wrong, const std::string& message) {
  ProgramSpec spec = map_spec();
  for (InstructionSpec& in : spec.forward)
    if (in.kernel == kernel) in.attributes[attribute] = wrong;
  std::string said = "nothing";
  try {
    check_program(spec);
  } catch (const std::invalid_argument& error) {
    said = error.what();
  }
  check(said.find(message) != std::string::npos,
        std::string(kernel) + " with " + attribute + " = " + std::to_string(wrong) + " must say \"" + message + "\", says \"" + said + "\"");
}

// All gradients of one step, then its losses. `site_mask`, `path_mask`: null to draw.
std::vector<float> gradients(const KernelTable& k, const ProgramSpec& spec, const std::vector<float>& images, size_t samples, const uint8_t* site_mask,
                             const uint8_t* path_mask) {
  Pool pool(2);
  Program program(spec, k, pool);
  Random random(8);
  for (size_t i = 0; i < spec.parameters.size(); i++) {
    std::vector<float> data(spec.parameters[i]);
    for (float& x : data) x = random.value() * 0.2f;
    program.write(State::weights, i, data.data());
  }
  const std::vector<float> targets(samples * spec.classes, 0.1f);
  LeafRequest request;
  request.micro = {{images.data(), targets.data(), samples, 40}};
  request.random.seed = 0x1234567890abcdefull;
  request.random.step = 2;
  request.random.site_rates = {0.2};
  request.random.path_rates = {0.3};
  if (site_mask) request.random.site_masks = {site_mask};
  if (path_mask) request.random.path_masks = {path_mask};
  LeafResult result;
  program.check(request);
  program.accumulate(request, result, program.ticket());
  UpdateResult update;
  program.update(nullptr, update, program.ticket());
  std::vector<float> all;
  for (size_t i = 0; i < spec.parameters.size(); i++)
    all.insert(all.end(), program.read(State::gradients, i), program.read(State::gradients, i) + spec.parameters[i]);
  all.insert(all.end(), result.losses.begin(), result.losses.end());
  return all;
}

// Masks that contain what the counter draws give the same bits. A branch that keeps no sample has gradients of zero, and all others are
// finite.
void check_masks(const KernelTable& k) {
  const ProgramSpec spec = map_spec();
  const size_t samples = 7, elements = spec.sites[0];
  std::vector<float> images(samples * spec.image_floats);
  Random random(3);
  for (float& x : images) x = random.value();
  std::vector<uint8_t> site(samples * elements), path(samples);
  const uint64_t seed = 0x1234567890abcdefull, site_bound = (uint64_t)std::ceil(0.8 * 4294967296.0), path_bound = (uint64_t)std::ceil(0.7 * 4294967296.0);
  for (uint32_t s = 0; s < samples; s++) {
    path[s] = ref::dropout_word(seed, 0x80000000u, 40 + s, 2, 0) < path_bound;
    for (size_t e = 0; e < elements; e++) site[s * elements + e] = ref::dropout_word(seed, 0, 40 + s, 2, e) < site_bound;
  }
  const std::string isa = k.isa;
  const std::vector<float> drawn = gradients(k, spec, images, samples, nullptr, nullptr), given = gradients(k, spec, images, samples, site.data(), path.data());
  check_same_bits(isa + " map program with the masks it draws", drawn.data(), given.data(), drawn.size());
  std::fill(path.begin(), path.end(), 0);
  const std::vector<float> none = gradients(k, spec, images, samples, nullptr, path.data());
  bool finite = true, zero = true;
  for (const float x : none) finite &= std::isfinite(x);
  size_t offset = spec.parameters[0] + spec.parameters[1];  // the branch's parameters follow those of the first layer
  const size_t end = offset + spec.parameters[2] + spec.parameters[3] + spec.parameters[4] + spec.parameters[5];
  for (; offset < end; offset++) zero &= none[offset] == 0;
  check(finite && zero, isa + " map program with an empty branch");
}

}  // namespace

void test_map_program(const KernelTable& k) {
  check_runs("map program", k, map_spec());
  check_masks(k);
  check_refusal("window_attention", "window", 5, "attribute window is 5, must be a divisor of height 8 and width 12");
  check_refusal("window_attention", "window", 33, "attribute window is 33, must be at most 32");
  check_refusal("window_attention", "shift", 4, "attribute shift is 4, must be below window = 4");
  check_refusal("window_attention", "heads", 3, "input 0 has 5760 elements, must have 8640");
  check_refusal("depthwise_conv", "kernel", 6, "attribute kernel is 6, must be odd");
  check_refusal("depthwise_conv", "kernel", 5, "input 1 has 980 elements, must have 500");
  check_refusal("merge_patches", "order", 2, "attribute order is 2, must be 0 or 1");
  check_refusal("merge_patches", "height", 7, "must both be even");
}

}  // namespace dropstream::test
