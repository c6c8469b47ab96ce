#include "test/harness.h"

namespace dropstream::test {

void test_layout(const KernelTable& k) {
  Random random(41);
  const std::string isa = k.isa;
  const size_t c = 3, n = 2;
  for (size_t round = 0; round < 20; round++) {
    const Type type = kTypes[round % 2];
    const size_t p = round < 10 ? 4 : random.upto(1, 20), h = p * random.upto(1, 3), w = p * random.upto(1, 11);
    Array images(n * c * h * w);
    random.fill(images);
    Array y(n * c * h * w, type);
    ref::Values expected(y.size());
    for (size_t s = 0; s < n; s++) k.patches({c, h, w, p, images, y}, s);
    for (size_t s = 0; s < n; s++)
      for (size_t i = 0; i < h; i++)
        for (size_t j = 0; j < w; j++)
          for (size_t ch = 0; ch < c; ch++) {
            const size_t patch = i / p * (w / p) + j / p, column = (ch * p + i % p) * p + j % p;
            expected[(s * (h / p) * (w / p) + patch) * c * p * p + column] = images[((s * c + ch) * h + i) * w + j];
          }
    check_close(isa + " patches", y, expected, 0, 0);
  }
  for (int round = 0; round < 20; round++) {
    const size_t samples = random.upto(1, 9), width = random.upto(1, 70);
    Array x(samples * width), sum(width), tokens(samples * width, kTypes[round % 2]), mean(width, kTypes[round / 2 % 2]);
    random.fill(x);
    random.fill(tokens);
    sum.fill(2);
    const size_t middle = random.upto(0, width);
    k.sum_samples(x, samples, width, sum, 0, middle);
    k.sum_samples(x, samples, width, sum, middle, width);
    k.mean_tokens(tokens, samples, width, mean);
    ref::Values sums(width, 2.0), means(width, 0.0);
    for (size_t s = 0; s < samples; s++)
      for (size_t e = 0; e < width; e++) {
        sums[e] += x[s * width + e];
        means[e] += tokens.get(s * width + e) / (double)samples;
      }
    check_close(isa + " sum_samples", sum, sums, 1e-5, 0);
    check_close(isa + " mean_tokens", mean, means, 1e-6, 0);
  }
}

}  // namespace dropstream::test
