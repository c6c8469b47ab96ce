#include <memory>

#include "test/harness.h"
#include "vm/program.h"

namespace dropstream::test {

namespace {

// A block of a transformer with every kind of kernel that splits work: patches → linear → token → positions → dropout → drop path
// [norm → attention → linear] → norm → linear+gelu → linear → token → head → loss, forward and backward by hand-written order.
ProgramSpec block_spec() {
  ProgramSpec s;
  const size_t n = 16, t = 17, d = 40, h = 2, e = 20, hidden = 72, classes = 10, chunk = 5;
  s.chunk_samples = chunk;
  s.image_floats = 16 * 16;
  s.classes = classes;
  s.paths = 1;
  s.sites = {t * d, h * t * t};
  size_t offset = 0;
  const auto value = [&](size_t floats) {
    s.values.push_back({offset, floats});
    offset += (floats * chunk + 15) / 16 * 16;
    return Operand{OperandKind::value, (uint32_t)s.values.size() - 1};
  };
  const auto param = [&](size_t size) {
    s.parameters.push_back(size);
    return (uint32_t)s.parameters.size() - 1;
  };
  const auto p = [](uint32_t i) { return Operand{OperandKind::param, i}; };
  const auto g = [](uint32_t i) { return Operand{OperandKind::grad, i}; };
  const uint32_t pw = param(d * 16), pb = param(d), token = param(d), position = param(t * d), nw = param(d), nb = param(d), qw = param(3 * d * d), qb = param(3 * d),
                 ow = param(d * d), ob = param(d), mw = param(hidden * d), mb = param(hidden), vw = param(d * hidden), vb = param(d), hw = param(classes * d), hb = param(classes);
  const Operand cols = value(n * 16), emb = value(n * d), seq = value(t * d), pos = value(t * d), x0 = value(t * d), kept = value(t * d), ln = value(t * d), mean = value(t),
                rstd = value(t), qkv = value(3 * t * d), att = value(t * d), lse = value(h * t), proj = value(t * d), x1 = value(t * d), act = value(t * hidden),
                pre = value(t * hidden), mlp = value(t * d), x2 = value(t * d), cls = value(d), logits = value(classes), loss = value(1), dlogits = value(classes),
                dcls = value(d), dx2 = value(t * d), dpre = value(t * hidden), dmlp = value(t * d), dx1 = value(t * d), dk = value(t * d), datt = value(t * d),
                dqkv = value(3 * t * d), dln = value(t * d), dx0 = value(t * d), dscat = value(t * d), demb = value(n * d);
  s.arena_floats = offset;
  s.logits = logits.index;
  s.loss = loss.index;
  using A = std::map<std::string, double>;
  const auto linear = [](size_t rows, size_t in, size_t out) { return A{{"rows", (double)rows}, {"in", (double)in}, {"out", (double)out}}; };
  const auto with = [](A a, const char* name) {
    a[name] = 1;
    return a;
  };
  const A map{{"rows", (double)t}, {"width", (double)d}}, norm{{"rows", (double)t}, {"width", (double)d}, {"eps", 1e-6}}, sequence{{"tokens", (double)t}, {"width", (double)d}};
  const A inner{{"tokens", (double)n}, {"width", (double)d}}, heads{{"tokens", (double)t}, {"heads", (double)h}, {"head_dim", (double)e}, {"scale", 0.2}};
  const A path{{"width", (double)(t * d)}, {"path", 0}, {"scaled", 1}}, first{{"tokens", (double)t}, {"width", (double)d}, {"token", 0}};
  const A gather{{"width", (double)(t * d)}, {"path", 0}};
  s.forward = {
      {"patches", 0, {{OperandKind::images, 0}}, {cols}, {{"channels", 1}, {"height", 16}, {"width", 16}, {"patch", 4}}, -1},
      {"linear", 0, {cols, p(pw), p(pb)}, {emb}, with(linear(n, 16, d), "bias"), -1},
      {"prepend_token", 0, {emb, p(token)}, {seq}, inner, -1},
      {"add_positions", 0, {seq, p(position)}, {pos}, sequence, -1},
      {"dropout", 0, {pos}, {x0}, map, 0},
      {"keep", 1, {x0}, {kept}, gather, -1},
      {"layer_norm", 1, {kept, p(nw), p(nb)}, {ln, mean, rstd}, norm, -1},
      {"linear", 1, {ln, p(qw), p(qb)}, {qkv}, with(linear(t, d, 3 * d), "bias"), -1},
      {"attention", 1, {qkv}, {att, lse}, heads, 1},
      {"linear", 1, {att, p(ow), p(ob)}, {proj}, with(linear(t, d, d), "bias"), -1},
      {"add_kept", 0, {x0, proj}, {x1}, path, -1},
      {"linear", 0, {x1, p(mw), p(mb)}, {act, pre}, with(with(linear(t, d, hidden), "bias"), "gelu"), -1},
      {"linear", 0, {act, p(vw), p(vb)}, {mlp}, with(linear(t, hidden, d), "bias"), -1},
      {"add", 0, {x1, mlp}, {x2}, map, -1},
      {"take_token", 0, {x2}, {cls}, first, -1},
      {"linear", 0, {cls, p(hw), p(hb)}, {logits}, with(linear(1, d, classes), "bias"), -1},
      {"softmax_cross_entropy", 0, {logits, {OperandKind::targets, 0}}, {loss, dlogits}, {{"classes", (double)classes}}, -1},
  };
  s.backward = {
      {"linear_weight_grad", 0, {cls, dlogits}, {g(hw), g(hb)}, linear(1, d, classes), -1},
      {"linear_input_grad", 0, {dlogits, p(hw)}, {dcls}, linear(1, d, classes), -1},
      {"take_token_grad", 0, {dcls}, {dx2}, first, -1},
      {"linear_weight_grad", 0, {act, dx2}, {g(vw), g(vb)}, linear(t, hidden, d), -1},
      {"linear_input_grad", 0, {dx2, p(vw), pre}, {dpre}, with(linear(t, hidden, d), "gelu"), -1},
      {"linear_weight_grad", 0, {x1, dpre}, {g(mw), g(mb)}, linear(t, d, hidden), -1},
      {"linear_input_grad", 0, {dpre, p(mw)}, {dmlp}, linear(t, d, hidden), -1},
      {"add", 0, {dx2, dmlp}, {dx1}, map, -1},
      {"keep", 1, {dx1}, {dk}, path, -1},
      {"linear_weight_grad", 1, {att, dk}, {g(ow), g(ob)}, linear(t, d, d), -1},
      {"linear_input_grad", 1, {dk, p(ow)}, {datt}, linear(t, d, d), -1},
      {"attention_grad", 1, {qkv, att, lse, datt}, {dqkv}, heads, 1},
      {"linear_weight_grad", 1, {ln, dqkv}, {g(qw), g(qb)}, linear(t, d, 3 * d), -1},
      {"linear_input_grad", 1, {dqkv, p(qw)}, {dln}, linear(t, d, 3 * d), -1},
      {"layer_norm_grad", 1, {kept, p(nw), mean, rstd, dln}, {dln, g(nw), g(nb)}, map, -1},
      {"add_kept", 0, {dx1, dln}, {dscat}, gather, -1},
      {"dropout", 0, {dscat}, {dx0}, map, 0},
      {"add_positions_grad", 0, {dx0}, {g(position)}, sequence, -1},
      {"prepend_token_grad", 0, {dx0}, {demb, g(token)}, inner, -1},
      {"linear_weight_grad", 0, {cols, demb}, {g(pw), g(pb)}, linear(n, 16, d), -1},
  };
  return s;
}

constexpr size_t kSamples = 13;

struct Batch {
  std::vector<float> images, targets;
  Batch(const ProgramSpec& s) : images(kSamples * s.image_floats), targets(kSamples * s.classes) {
    Random random(3);
    for (float& x : images) x = random.value();
    for (size_t i = 0; i < kSamples; i++) targets[i * s.classes + i % s.classes] = 1;
  }
};

StepRequest request_of(const ProgramSpec& s, const Batch& batch, bool optimize) {
  StepRequest r;
  r.micro = {{batch.images.data(), batch.targets.data(), kSamples, 40}};
  r.random.seed = 0x1234567890abcdefull;
  r.random.step = 2;
  r.random.site_rates = {0.1, 0.2};
  r.random.path_rates = {0.3};
  r.loss_scale = 1.0f / kSamples;
  r.has_optimizer = optimize;
  r.optimizer = {OptimizerKind::adamw, 0.9, 0.999, 1e-8, 0.9, 1.0, 0.99, 1, std::vector<double>(s.parameters.size(), 0.01), std::vector<double>(s.parameters.size(), 0.05)};
  return r;
}

std::unique_ptr<Program> program_of(const ProgramSpec& s, const KernelTable& k, Pool& pool) {
  auto program = std::make_unique<Program>(s, k, pool);
  Random random(8);
  for (size_t p = 0; p < s.parameters.size(); p++) {
    std::vector<float> data(s.parameters[p]);
    for (float& x : data) x = random.value() * 0.2f;
    program->write(State::weights, p, data.data());
  }
  return program;
}

double mean_loss(const StepResult& r) {
  double sum = 0;
  for (const float x : r.losses) sum += x;
  return sum / (double)r.losses.size();
}

}  // namespace

void test_program(const KernelTable& k) {
  const std::string isa = k.isa;
  const ProgramSpec s = block_spec();
  const Batch batch(s);
  // Three optimizer steps have equal bits for 1, 2 and 5 threads.
  std::vector<std::vector<float>> runs;
  for (const unsigned threads : {1u, 2u, 5u}) {
    Pool pool(threads);
    auto program = program_of(s, k, pool);
    StepRequest r = request_of(s, batch, true);
    std::vector<float> bits;
    StepResult result;
    for (int step = 1; step <= 3; step++) {
      r.optimizer.step = (uint64_t)step;
      r.random.step = (uint32_t)step;
      program->check(r);
      const size_t before = allocations;
      program->step(r, result);
      const size_t allocated = allocations - before;
      if (step > 1) check(allocated == 0, isa + " step " + std::to_string(step) + " allocates");
      bits.insert(bits.end(), result.losses.begin(), result.losses.end());
      bits.push_back((float)result.grad_norm);
    }
    for (const State state : {State::weights, State::gradients, State::first_moment, State::second_moment, State::ema})
      for (size_t p = 0; p < s.parameters.size(); p++) bits.insert(bits.end(), program->read(state, p), program->read(state, p) + s.parameters[p]);
    runs.push_back(bits);
  }
  bool finite = true;
  for (const float x : runs[0]) finite &= std::isfinite(x);
  check(finite, isa + " program is finite");
  check_same_bits(isa + " program 1 and 2 threads", runs[0].data(), runs[1].data(), runs[0].size());
  check_same_bits(isa + " program 1 and 5 threads", runs[0].data(), runs[2].data(), runs[0].size());

  // The gradient against central differences of the mean loss, with dropout and drop path on (their draws depend on the counter only).
  Pool pool(2);
  auto program = program_of(s, k, pool);
  const StepRequest r = request_of(s, batch, false);
  StepResult result;
  program->step(r, result);
  Random random(77);
  for (size_t p = 0; p < s.parameters.size(); p++) {
    const std::vector<float> weights(program->read(State::weights, p), program->read(State::weights, p) + s.parameters[p]);
    program->step(r, result);
    const std::vector<float> gradient(program->read(State::gradients, p), program->read(State::gradients, p) + s.parameters[p]);
    // Along the gradient itself plus a random direction: one derivative that every element takes part in.
    double norm = 0, expected = 0;
    std::vector<float> direction(s.parameters[p]);
    for (size_t i = 0; i < direction.size(); i++) {
      direction[i] = gradient[i] * 50 + random.value() * 0.2f;
      norm += direction[i] * direction[i];
    }
    const double h = 0.02 / std::sqrt(norm);
    std::vector<float> moved = weights;
    double side[2];
    for (int sign = 0; sign < 2; sign++) {
      for (size_t i = 0; i < moved.size(); i++) moved[i] = weights[i] + (float)((sign ? -h : h) * direction[i]);
      program->write(State::weights, p, moved.data());
      program->step(r, result);
      side[sign] = mean_loss(result);
    }
    program->write(State::weights, p, weights.data());
    for (size_t i = 0; i < direction.size(); i++) expected += gradient[i] * direction[i];
    const double slope = (side[0] - side[1]) / (2 * h);
    check(std::fabs(slope - expected) <= 0.01 * std::fabs(expected) + 2e-5 * std::sqrt(norm),
          isa + " gradient of parameter " + std::to_string(p) + ": " + std::to_string(expected) + ", differences give " + std::to_string(slope));
  }
}

}  // namespace dropstream::test
