// Window attention. The forward pass has one job per head of a window. The backward pass has one job per head of a fixed group of windows,
// whose gradients of the bias table are then added in order.
#include "vm/program.h"

namespace dropstream {

namespace {
constexpr size_t kWindowsPerPartial = 8;  // constant, because the order of the table's sums depends on it

size_t table_rows(const Dims& d) { return (2 * d.window - 1) * (2 * d.window - 1); }
size_t window_count(const Dims& d) { return d.height / d.window * (d.width / d.window); }
size_t groups_of(size_t windows) { return ceil_div(windows, kWindowsPerPartial); }
}  // namespace

size_t Program::window_shared_floats(const Op& op) const {
  const Dims& d = op.dims;
  const bool backward = op.kernel == Kernel::window_attention_grad;
  if (op.kernel != Kernel::window_attention && !backward) return 0;
  const size_t bias = d.heads * d.window * d.window * kernels_.window_stride(d.window, type_of(op.inputs[0]));
  return bias + (backward ? groups_of(spec_.chunk_samples * window_count(d)) * table_rows(d) * d.heads : 0);
}

// Expands the bias table into shared_; the partial tables follow it there.
WindowArgs Program::window_args(const Op& op) {
  const Dims& d = op.dims;
  const float* table = input(op, 1);
  float* bias = shared_.floats();
  const Type type = type_of(op.inputs[0]);
  const size_t each = d.window * d.window * kernels_.window_stride(d.window, type);
  spread(d.heads, 1, [&](size_t begin, size_t end, unsigned) {
    for (size_t head = begin; head < end; head++) kernels_.window_bias(table, d.window, d.heads, head, type, bias + head * each);
  });
  WindowArgs args{};
  args.height = d.height;
  args.width = d.width;
  args.window = d.window;
  args.shift = d.shift;
  args.heads = d.heads;
  args.head_dim = d.head_dim;
  args.scale = d.scale;
  args.qkv = in(op, 0);
  args.bias = bias;
  args.partial = bias + d.heads * each;
  args.windows_per_partial = kWindowsPerPartial;
  args.site = site(op);
  args.samples = sample_map(op);
  return args;
}

void Program::run_window_attention(const Op& op) {
  if (samples(op) == 0) return;
  WindowArgs args = window_args(op);
  args.out = out(op, 0);
  args.lse = output(op, 1);
  spread(samples(op) * window_count(op.dims) * op.dims.heads, 4,
         [&](size_t begin, size_t end, unsigned thread) { kernels_.window_attention(args, begin, end, scratch(thread)); });
}

void Program::run_window_attention_grad(const Op& op) {
  if (samples(op) == 0) return;
  WindowArgs args = window_args(op);
  args.out = Out(input(op, 2), args.qkv.type);
  args.lse = input(op, 3);
  args.dout = in(op, 4);
  args.dqkv = out(op, 0);
  const size_t n = samples(op), groups = groups_of(n * window_count(op.dims)), entries = table_rows(op.dims) * op.dims.heads;
  spread(groups * op.dims.heads, 1, [&](size_t begin, size_t end, unsigned thread) {
    for (size_t job = begin; job < end; job++) kernels_.window_attention_grad(args, n, job, scratch(thread));
  });
  spread(
      entries, 512, [&](size_t begin, size_t end, unsigned) { kernels_.sum_samples(args.partial, groups, entries, output(op, 1), begin, end); }, 16);
}

}  // namespace dropstream
