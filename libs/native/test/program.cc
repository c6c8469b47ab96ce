#include "test/harness.h"
#include "test/program-runs.h"

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
  const uint32_t pw = param(d * 16), pb = param(d), token = param(d), position = param(t * d), nw = param(d), nb = param(d), qw = param(3 * d * d),
                 qb = param(3 * d), ow = param(d * d), ob = param(d), mw = param(hidden * d), mb = param(hidden), vw = param(d * hidden), vb = param(d),
                 hw = param(classes * d), hb = param(classes);
  const Operand cols = value(n * 16), emb = value(n * d), seq = value(t * d), pos = value(t * d), x0 = value(t * d), kept = value(t * d), ln = value(t * d),
                mean = value(t), rstd = value(t), qkv = value(3 * t * d), att = value(t * d), lse = value(h * t), proj = value(t * d), x1 = value(t * d),
                act = value(t * hidden), slope = value(t * hidden), mlp = value(t * d), x2 = value(t * d), cls = value(d), logits = value(classes),
                loss = value(1), dlogits = value(classes), dcls = value(d), dx2 = value(t * d), dpre = value(t * hidden), dmlp = value(t * d),
                dx1 = value(t * d), dk = value(t * d), datt = value(t * d), dqkv = value(3 * t * d), dln = value(t * d), dx0 = value(t * d),
                dscat = value(t * d), demb = value(n * d);
  s.arena_floats = offset;
  s.logits = logits.index;
  s.loss = loss.index;
  using A = std::map<std::string, double>;
  const auto linear = [](size_t rows, size_t in, size_t out) { return A{{"rows", (double)rows}, {"in", (double)in}, {"out", (double)out}}; };
  const auto with = [](A a, const char* name) {
    a[name] = 1;
    return a;
  };
  const A map{{"rows", (double)t}, {"width", (double)d}}, norm{{"rows", (double)t}, {"width", (double)d}, {"eps", 1e-6}},
      sequence{{"tokens", (double)t}, {"width", (double)d}};
  const A inner{{"tokens", (double)n}, {"width", (double)d}}, heads{{"tokens", (double)t}, {"heads", (double)h}, {"head_dim", (double)e}, {"scale", 0.2}};
  const A path{{"width", (double)(t * d)}, {"path", 0}, {"scaled", 1}}, first{{"tokens", (double)t}, {"width", (double)d}, {"token", 0}};
  const A gather{{"width", (double)(t * d)}, {"path", 0}};
  s.forward = {
      {"patches", 0, {{OperandKind::images, 0}}, {cols}, {{"channels", 1}, {"height", 16}, {"width", 16}, {"patch", 4}}, -1},
      {"linear", 0, {cols, p(pw), p(pb)}, {emb}, with(linear(n, 16, d), "bias"), -1},
      {"prepend_token", 0, {emb, p(token)}, {seq}, inner, -1},
      {"add_positions", 0, {seq, p(position)}, {pos}, sequence, -1},
      {"dropout", 0, {pos}, {x0}, map, 0},
      {"gather_kept", 1, {x0}, {kept}, gather, -1},
      {"layer_norm", 1, {kept, p(nw), p(nb)}, {ln, mean, rstd}, norm, -1},
      {"linear", 1, {ln, p(qw), p(qb)}, {qkv}, with(linear(t, d, 3 * d), "bias"), -1},
      {"attention", 1, {qkv}, {att, lse}, heads, 1},
      {"linear", 1, {att, p(ow), p(ob)}, {proj}, with(linear(t, d, d), "bias"), -1},
      {"scatter_add_kept", 0, {x0, proj}, {x1}, path, -1},
      {"linear", 0, {x1, p(mw), p(mb)}, {act, slope}, with(with(linear(t, d, hidden), "bias"), "gelu"), -1},
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
      {"linear_input_grad", 0, {dx2, p(vw), slope}, {dpre}, with(linear(t, hidden, d), "gelu"), -1},
      {"linear_weight_grad", 0, {x1, dpre}, {g(mw), g(mb)}, linear(t, d, hidden), -1},
      {"linear_input_grad", 0, {dpre, p(mw)}, {dmlp}, linear(t, d, hidden), -1},
      {"add", 0, {dx2, dmlp}, {dx1}, map, -1},
      {"gather_kept", 1, {dx1}, {dk}, path, -1},
      {"linear_weight_grad", 1, {att, dk}, {g(ow), g(ob)}, linear(t, d, d), -1},
      {"linear_input_grad", 1, {dk, p(ow)}, {datt}, linear(t, d, d), -1},
      {"attention_grad", 1, {qkv, att, lse, datt}, {dqkv}, heads, 1},
      {"linear_weight_grad", 1, {ln, dqkv}, {g(qw), g(qb)}, linear(t, d, 3 * d), -1},
      {"linear_input_grad", 1, {dqkv, p(qw)}, {dln}, linear(t, d, 3 * d), -1},
      {"layer_norm_grad", 1, {kept, p(nw), mean, rstd, dln}, {dln, g(nw), g(nb)}, map, -1},
      {"scatter_add_kept", 0, {dx1, dln}, {dscat}, gather, -1},
      {"dropout", 0, {dscat}, {dx0}, map, 0},
      {"add_positions_grad", 0, {dx0}, {g(position)}, sequence, -1},
      {"prepend_token_grad", 0, {dx0}, {demb, g(token)}, inner, -1},
      {"linear_weight_grad", 0, {cols, demb}, {g(pw), g(pb)}, linear(n, 16, d), -1},
  };
  return s;
}

}  // namespace

void test_program(const KernelTable& k) { check_runs("program", k, block_spec()); }

}  // namespace dropstream::test
