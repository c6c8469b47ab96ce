#include "test/harness.h"

namespace dropstream::test {

void test_optimizer(const KernelTable& k) {
  Random random(53);
  const std::string isa = k.isa;
  for (const OptimizerKind kind : {OptimizerKind::adamw, OptimizerKind::sgd, OptimizerKind::momentum}) {
    const size_t n = random.upto(1, 200);
    Array w(n), g(n), first(n), second(n), ema(n);
    random.fill(w);
    random.fill(ema);
    first.fill(0);
    second.fill(0);
    ref::Values rw = w.values(), rm(n, 0.0), rv(n, 0.0), re = ema.values();
    const double lr = 0.01, wd = 0.05, b1 = 0.9, b2 = 0.999, eps = 1e-8, mu = 0.9, d = 0.99, clip = 0.7;
    double p1 = 1, p2 = 1;
    for (int step = 1; step <= 5; step++) {
      random.fill(g);
      p1 *= b1;
      p2 *= b2;
      const bool adam = kind == OptimizerKind::adamw;
      UpdateArgs args{kind,
                      w,
                      g,
                      first,
                      second,
                      ema,
                      (float)clip,
                      (float)(adam ? 1 - lr * wd : wd),
                      (float)(adam ? lr / (1 - p1) : lr),
                      (float)b1,
                      (float)(1 - b1),
                      (float)b2,
                      (float)(1 - b2),
                      (float)std::sqrt(1 - p2),
                      (float)eps,
                      (float)mu,
                      step == 1,
                      (float)d,
                      (float)(1 - d)};
      const size_t middle = random.upto(0, n);
      k.update(args, 0, middle);
      k.update(args, middle, n);
      for (size_t i = 0; i < n; i++) {
        double grad = g[i] * clip;
        if (adam) {
          rw[i] *= 1 - lr * wd;
          rm[i] = b1 * rm[i] + (1 - b1) * grad;
          rv[i] = b2 * rv[i] + (1 - b2) * grad * grad;
          rw[i] -= lr / (1 - p1) * rm[i] / (std::sqrt(rv[i]) / std::sqrt(1 - p2) + eps);
        } else {
          grad += wd * rw[i];
          rm[i] = step == 1 ? grad : mu * rm[i] + grad;
          rw[i] -= lr * (kind == OptimizerKind::sgd ? grad + mu * rm[i] : rm[i]);
        }
        re[i] = d * re[i] + (1 - d) * rw[i];
      }
    }
    check_close(isa + " weights", w, rw, 1e-6, 1e-6);
    check_close(isa + " ema", ema, re, 1e-6, 1e-6);
    check_close(isa + " first", first, rm, 1e-6, 1e-6);
    if (kind == OptimizerKind::adamw) check_close(isa + " second", second, rv, 1e-8, 1e-6);
  }
  for (const size_t n : {1, 15, 16, 17, 1000}) {
    Array x(n);
    random.fill(x);
    double expected = 0;
    for (size_t i = 0; i < n; i++) expected += (double)x[i] * x[i];
    check(std::fabs(k.sum_squares(x, n) / expected - 1) < 1e-13, isa + " sum_squares");
  }
}

}  // namespace dropstream::test
