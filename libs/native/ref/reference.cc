#include "ref/reference.h"

#include <cmath>

namespace dropstream::ref {

double gelu(double x) { return 0.5 * x * std::erfc(-x / std::sqrt(2.0)); }
double gelu_slope(double x) { return 0.5 * std::erfc(-x / std::sqrt(2.0)) + x * std::exp(-x * x / 2) / std::sqrt(2 * M_PI); }

Product product(size_t m, size_t k, size_t n, const Values& a, const Values& b) {
  Product p{Values(m * n), Values(m * n)};
  for (size_t i = 0; i < m; i++)
    for (size_t t = 0; t < k; t++)
      for (size_t j = 0; j < n; j++) {
        p.c[i * n + j] += a[i * k + t] * b[t * n + j];
        p.magnitude[i * n + j] += std::fabs(a[i * k + t] * b[t * n + j]);
      }
  return p;
}

Values transpose(size_t rows, size_t columns, const Values& x) {
  Values y(x.size());
  for (size_t i = 0; i < rows; i++)
    for (size_t j = 0; j < columns; j++) y[j * rows + i] = x[i * columns + j];
  return y;
}

LayerNorm layer_norm(size_t rows, size_t d, double eps, const Values& x, const Values& weight, const Values& bias, const Values& dy) {
  LayerNorm r{Values(rows * d), Values(rows), Values(rows), Values(rows * d), Values(d), Values(d)};
  for (size_t i = 0; i < rows; i++) {
    double mean = 0, variance = 0;
    for (size_t j = 0; j < d; j++) mean += x[i * d + j] / d;
    for (size_t j = 0; j < d; j++) variance += (x[i * d + j] - mean) * (x[i * d + j] - mean) / d;
    const double rstd = 1 / std::sqrt(variance + eps);
    double mean_g = 0, mean_gn = 0;
    for (size_t j = 0; j < d; j++) {
      const double n = (x[i * d + j] - mean) * rstd, g = dy[i * d + j] * weight[j];
      r.y[i * d + j] = n * weight[j] + bias[j];
      r.dweight[j] += dy[i * d + j] * n;
      r.dbias[j] += dy[i * d + j];
      mean_g += g / d;
      mean_gn += g * n / d;
    }
    for (size_t j = 0; j < d; j++) r.dx[i * d + j] = rstd * (dy[i * d + j] * weight[j] - mean_g - (x[i * d + j] - mean) * rstd * mean_gn);
    r.mean[i] = mean;
    r.rstd[i] = rstd;
  }
  return r;
}

Attention attention(size_t samples, size_t n, size_t heads, size_t d, double scale, const Values& qkv, const Values& factors, const Values& dout) {
  const size_t row = 3 * heads * d, out_row = heads * d;
  Attention r{Values(samples * n * out_row), Values(samples * heads * n), Values(qkv.size())};
  for (size_t s = 0; s < samples; s++)
    for (size_t h = 0; h < heads; h++) {
      const size_t base = s * n * row + h * d, out = s * n * out_row + h * d;
      for (size_t i = 0; i < n; i++) {
        const double* f = &factors[((s * heads + h) * n + i) * n];
        Values p(n), up(n);
        double peak = -INFINITY, sum = 0, dot = 0;
        for (size_t j = 0; j < n; j++) {
          for (size_t c = 0; c < d; c++) p[j] += qkv[base + i * row + c] * qkv[base + j * row + heads * d + c];
          p[j] *= scale;
          peak = std::fmax(peak, p[j]);
        }
        for (size_t j = 0; j < n; j++) sum += std::exp(p[j] - peak);
        r.lse[(s * heads + h) * n + i] = peak + std::log(sum);
        for (size_t j = 0; j < n; j++) {
          p[j] = std::exp(p[j] - peak) / sum;
          for (size_t c = 0; c < d; c++) {
            const double v = qkv[base + j * row + 2 * heads * d + c], g = dout[out + i * out_row + c];
            r.out[out + i * out_row + c] += p[j] * f[j] * v;
            up[j] += g * v * f[j];
            r.dqkv[base + j * row + 2 * heads * d + c] += p[j] * f[j] * g;
          }
          dot += p[j] * up[j];
        }
        for (size_t j = 0; j < n; j++) {
          const double ds = p[j] * (up[j] - dot) * scale;
          for (size_t c = 0; c < d; c++) {
            r.dqkv[base + i * row + c] += ds * qkv[base + j * row + heads * d + c];
            r.dqkv[base + j * row + heads * d + c] += ds * qkv[base + i * row + c];
          }
        }
      }
    }
  return r;
}

CrossEntropy cross_entropy(size_t rows, size_t classes, const Values& logits, const Values& targets, double scale) {
  CrossEntropy r{Values(rows), Values(rows * classes)};
  for (size_t i = 0; i < rows; i++) {
    double peak = -INFINITY, sum = 0, mass = 0;
    for (size_t c = 0; c < classes; c++) peak = std::fmax(peak, logits[i * classes + c]);
    for (size_t c = 0; c < classes; c++) sum += std::exp(logits[i * classes + c] - peak);
    for (size_t c = 0; c < classes; c++) mass += targets[i * classes + c];
    for (size_t c = 0; c < classes; c++) {
      const double log_p = logits[i * classes + c] - peak - std::log(sum);
      r.loss[i] -= targets[i * classes + c] * log_p;
      r.dlogits[i * classes + c] = (std::exp(log_p) * mass - targets[i * classes + c]) * scale;
    }
  }
  return r;
}

uint32_t dropout_word(uint64_t seed, uint32_t site, uint32_t sample, uint32_t step, uint64_t element) {
  uint32_t c[4] = {(uint32_t)(element >> 2), sample, site, step};
  uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (int round = 0; round < 10; round++) {
    const uint64_t p0 = 0xD2511F53ull * c[0], p1 = 0xCD9E8D57ull * c[2];
    const uint32_t next[4] = {(uint32_t)(p1 >> 32) ^ c[1] ^ k0, (uint32_t)p1, (uint32_t)(p0 >> 32) ^ c[3] ^ k1, (uint32_t)p0};
    for (int i = 0; i < 4; i++) c[i] = next[i];
    k0 += 0x9E3779B9u;
    k1 += 0xBB67AE85u;
  }
  return c[element & 3];
}

}  // namespace dropstream::ref
