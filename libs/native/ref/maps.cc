#include "ref/maps.h"

#include <cmath>

namespace dropstream::ref {

Convolution depthwise_conv(const Map& m, size_t kernel, const Values& x, const Values& weight, const Values& bias, const Values& dy) {
  Convolution r{Values(x.size()), Values(x.size()), Values(weight.size()), Values(m.channels)};
  const long h = (long)m.height, w = (long)m.width, pad = (long)kernel / 2;
  for (size_t s = 0; s < m.samples; s++)
    for (long i = 0; i < h; i++)
      for (long j = 0; j < w; j++)
        for (size_t c = 0; c < m.channels; c++) {
          const size_t at = ((s * m.height + (size_t)i) * m.width + (size_t)j) * m.channels + c;
          r.y[at] += bias[c];
          r.dbias[c] += dy[at];
          for (long ki = 0; ki < (long)kernel; ki++)
            for (long kj = 0; kj < (long)kernel; kj++) {
              const long row = i + ki - pad, column = j + kj - pad;
              if (row < 0 || row >= h || column < 0 || column >= w) continue;
              const size_t from = ((s * m.height + (size_t)row) * m.width + (size_t)column) * m.channels + c,
                           tap = (c * kernel + (size_t)ki) * kernel + (size_t)kj;
              r.y[at] += x[from] * weight[tap];
              r.dx[from] += dy[at] * weight[tap];
              r.dweight[tap] += dy[at] * x[from];
            }
        }
  return r;
}

size_t merged_column(size_t order, size_t channels, size_t c, size_t dy, size_t dx) { return order == 0 ? c * 4 + dy * 2 + dx : (dx * 2 + dy) * channels + c; }

Values merge_patches(const Map& m, size_t order, const Values& x) {
  Values y(x.size());
  for (size_t s = 0; s < m.samples; s++)
    for (size_t i = 0; i < m.height; i++)
      for (size_t j = 0; j < m.width; j++)
        for (size_t c = 0; c < m.channels; c++)
          y[((s * m.height / 2 + i / 2) * (m.width / 2) + j / 2) * 4 * m.channels + merged_column(order, m.channels, c, i % 2, j % 2)] =
              x[((s * m.height + i) * m.width + j) * m.channels + c];
  return y;
}

LayerScale layer_scale(size_t rows, size_t width, const Values& x, const Values& gamma, const Values& dy) {
  LayerScale r{Values(x.size()), Values(x.size()), Values(width)};
  for (size_t i = 0; i < rows * width; i++) {
    r.y[i] = x[i] * gamma[i % width];
    r.dx[i] = dy[i] * gamma[i % width];
    r.dgamma[i % width] += dy[i] * x[i];
  }
  return r;
}

// The region of a rolled row or column: 0 if its window was not joined by the roll, 1 and 2 on the two sides of the seam.
static int band(size_t at, size_t side, size_t window, size_t shift) { return at < side - window ? 0 : at < side - shift ? 1 : 2; }

WindowAttention window_attention(const Windows& p, double scale, const Values& qkv, const Values& table, const Values& factors, const Values& dout) {
  const size_t n = p.places(), d = p.head_dim, width = p.heads * d, row = 3 * width, windows_per_row = p.width / p.window, side = 2 * p.window - 1;
  WindowAttention r{Values(dout.size()), Values(p.samples * p.count() * p.heads * n), Values(qkv.size()), Values(table.size())};
  for (size_t job = 0; job < p.samples * p.count() * p.heads; job++) {
    const size_t h = job % p.heads, window = job / p.heads % p.count(), s = job / p.heads / p.count();
    std::vector<size_t> token(n);
    std::vector<int> region(n);
    for (size_t i = 0; i < n; i++) {
      const size_t y = window / windows_per_row * p.window + i / p.window, x = window % windows_per_row * p.window + i % p.window;
      token[i] = s * p.height * p.width + (y + p.shift) % p.height * p.width + (x + p.shift) % p.width;
      region[i] = p.shift ? 3 * band(y, p.height, p.window, p.shift) + band(x, p.width, p.window, p.shift) : 0;
    }
    const auto q = [&](size_t i, size_t part, size_t c) { return token[i] * row + part * width + h * d + c; };
    for (size_t i = 0; i < n; i++) {
      Values score(n), up(n);
      const double* f = &factors[(job * n + i) * n];
      double peak = -INFINITY, sum = 0, dot = 0;
      std::vector<size_t> entry(n);
      for (size_t j = 0; j < n; j++) {
        entry[j] = ((i / p.window + p.window - 1 - j / p.window) * side + i % p.window + p.window - 1 - j % p.window) * p.heads + h;
        for (size_t c = 0; c < d; c++) score[j] += qkv[q(i, 0, c)] * qkv[q(j, 1, c)];
        score[j] = score[j] * scale + table[entry[j]] + (region[i] == region[j] ? 0 : -100);
        peak = std::fmax(peak, score[j]);
      }
      for (size_t j = 0; j < n; j++) sum += std::exp(score[j] - peak);
      r.lse[job * n + i] = peak + std::log(sum);
      for (size_t j = 0; j < n; j++) {
        const double probability = std::exp(score[j] - r.lse[job * n + i]);
        for (size_t c = 0; c < d; c++) {
          const double g = dout[token[i] * width + h * d + c];
          r.out[token[i] * width + h * d + c] += probability * f[j] * qkv[q(j, 2, c)];
          up[j] += g * qkv[q(j, 2, c)] * f[j];
          r.dqkv[q(j, 2, c)] += probability * f[j] * g;
        }
        score[j] = probability;
        dot += probability * up[j];
      }
      for (size_t j = 0; j < n; j++) {
        const double ds = score[j] * (up[j] - dot);
        r.dtable[entry[j]] += ds;
        for (size_t c = 0; c < d; c++) {
          r.dqkv[q(i, 0, c)] += ds * scale * qkv[q(j, 1, c)];
          r.dqkv[q(j, 1, c)] += ds * scale * qkv[q(i, 0, c)];
        }
      }
    }
  }
  return r;
}

}  // namespace dropstream::ref
