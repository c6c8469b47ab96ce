// Linear layers: packed weights, and how a product is split into jobs. The bits do not depend on the split, because every element is one
// chain over k.
#include <algorithm>
#include <cstring>

#include "vm/program.h"

namespace dropstream {

namespace {
// A product with fewer operations takes less time than waking up a thread for it.
constexpr size_t kSmallProduct = 200000;
// A product with more operations (about 20 ms) is split even for a single thread, so that cancelling need not wait for all of it.
constexpr size_t kLargeProduct = (size_t)1 << 30;

// Splits rows into jobs of at most about `max` rows, with equally many jobs for every thread.
size_t jobs_of(size_t n, size_t max, size_t threads) { return ceil_div(ceil_div(n, max), threads) * threads; }

// A weight [m][n] in rectangles of which each packs its columns of dy (m) and of x (n): of all grids with `jobs` rectangles, the one that
// packs the least.
struct Grid {
  Pieces heights, columns;
};
Grid grad_grid(size_t m, size_t n, const KernelTable& kernels, size_t jobs) {
  const auto grid_of = [&](size_t high) { return Grid{{m, kernels.product_rows, high}, {ceil_div(n, kernels.panel_width), 1, ceil_div(jobs, high)}}; };
  // A grid may have fewer rectangles than asked for if the weight is small.
  const auto cost = [&](const Grid& grid) {
    const size_t count = grid.heights.count * grid.columns.count;
    return (grid.columns.count * m + grid.heights.count * n) * ceil_div(jobs, count);
  };
  Grid best = grid_of(1);
  for (size_t high = 2; high <= jobs; high++)
    if (cost(grid_of(high)) < cost(best)) best = grid_of(high);
  return best;
}
}  // namespace

PackArgs Program::pack_args(const Pack& pack, const float* weight) const {
  const Out target{packed_.floats() + pack.offset, pack.type};
  return pack.transposed ? PackArgs{pack.in, pack.out, weight, pack.in, target} : PackArgs{pack.out, pack.in, weight, pack.in, target};
}

// Returns the packed form of the instruction's weight, and packs it again if the parameters have changed since (or if the other state, EMA
// or weights, is used now). The backward pass of a step needs the transpose, too: both packed forms are made in one pass over the weight, a
// few rows at a time.
In Program::packed(const Op& op, const float* weight) {
  Pack& pack = packs_[op.pack];
  const PackArgs args = pack_args(pack, weight);
  const uint64_t version = version_ * 2 + (chunk_.parameters == ema_.floats());
  if (pack.version == version) return args.packed;
  const Profile::Span span(profile_, Profile::Part::pack, pack.parameter, 0);
  Pack* const other = chunk_.training && pack.of_w < packs_.size() ? &packs_[pack.of_w] : nullptr;
  const PackArgs others = other ? pack_args(*other, weight) : PackArgs{};
  const size_t width = kernels_.panel_width;
  pool_.run(ceil_div(args.n, width), [&](size_t panel, unsigned) {
    if (!pack.transposed) return kernels_.pack_rows(args, panel, panel + 1, 0, args.k);
    kernels_.pack_columns(args, panel, panel + 1);
    if (other) kernels_.pack_rows(others, 0, ceil_div(others.n, width), panel * width, std::min(others.k, (panel + 1) * width));
  });
  pool_.throw_if_cancelled();  // an incomplete pack must not be used
  pack.version = version;
  if (other) other->version = version;
  return args.packed;
}

void Program::multiply(const ProductArgs& args) {
  if (args.m == 0) return;
  const size_t threads = pool_.threads(), panels = ceil_div(args.n, kernels_.panel_width);
  const size_t work = args.m * args.n * args.k;
  if (work < (threads == 1 ? kLargeProduct : kSmallProduct)) return kernels_.product(args, 0, args.m, 0, panels);
  // About four jobs per thread; columns are split too if there are few rows.
  const Pieces rows(args.m, kernels_.product_rows, jobs_of(args.m, std::max<size_t>(24, ceil_div(args.m, 4 * threads)), threads));
  const Pieces columns(panels, 1, rows.count >= 2 * threads ? 1 : ceil_div(2 * threads, rows.count));
  pool_.run(rows.count * columns.count, [&](size_t job, unsigned) {
    const size_t row = job / columns.count, column = job % columns.count;
    kernels_.product(args, rows.begin(row), rows.begin(row + 1), columns.begin(column), columns.begin(column + 1));
  });
}

void Program::run_linear(const Op& op) {
  const Dims& d = op.dims;
  multiply({samples(op) * d.rows, d.in, d.out, in(op, 0), d.in, false, packed(op, input(op, 1)), out(op, 0), d.out, false, input(op, 2),
            d.gelu ? Epilogue::gelu : Epilogue::none, out(op, 1), chunk_.training});
}

void Program::run_linear_input_grad(const Op& op) {
  const Dims& d = op.dims;
  const In slope = in(op, 2);
  multiply({samples(op) * d.rows,
            d.out,
            d.in,
            in(op, 0),
            d.out,
            false,
            packed(op, input(op, 1)),
            out(op, 0),
            d.in,
            false,
            nullptr,
            d.gelu ? Epilogue::times_side : Epilogue::none,
            {const_cast<void*>(slope.at), slope.type}});
}

void Program::run_linear_weight_grad(const Op& op) {
  const Dims& d = op.dims;
  const size_t rows = samples(op) * d.rows, threads = pool_.threads(), panels = ceil_div(d.in, kernels_.panel_width);
  const bool begins = op.begins && chunk_.first_row == 0;
  if (rows == 0) {
    if (begins) memset(output(op, 0), 0, d.out * d.in * sizeof(float));
    return;
  }
  const In x = in(op, 0), dy = in(op, 1);
  const auto pack = [&](In source, size_t width, auto kernel) {
    const PackArgs args{rows, width, source, width, {shared_.floats(), source.type}};
    spread(
        rows, 128, [&](size_t begin, size_t end, unsigned) { kernel(args, begin, end); }, 2);
    return In(args.packed);
  };
  WeightGradArgs args{rows, d.out, d.in, dy, x, output(op, 0), output(op, 1)};
  args.accumulate = !begins;
  if (kernels_.weight_grad_packs_both && x.type == Type::bf16) {
    args.x = x;
    const Grid grid = grad_grid(d.out, d.in, kernels_, threads);
    return pool_.run(grid.heights.count * grid.columns.count, [&](size_t job, unsigned thread) {
      const size_t row = job / grid.columns.count, column = job % grid.columns.count;
      kernels_.weight_grad(args, grid.heights.begin(row), grid.heights.begin(row + 1), grid.columns.begin(column), grid.columns.begin(column + 1),
                           scratch(thread));
    });
  }
  // The narrower operand is packed for all jobs, and the wider one must give every thread several panels.
  if (d.out < d.in && panels >= 4 * threads) {
    args.x = x;
    args.dy_packed = pack(dy, d.out, kernels_.pack_left);
    const Pieces columns(panels, 1, 4 * threads);
    return pool_.run(columns.count,
                     [&](size_t job, unsigned thread) { kernels_.weight_grad(args, 0, d.out, columns.begin(job), columns.begin(job + 1), scratch(thread)); });
  }
  // A single panel of whole vectors is already in packed order if words are elements.
  if (panels > 1 || d.in % kernels_.lanes || x.type == Type::bf16)
    args.x_packed = pack(x, d.in, [&](const PackArgs& all, size_t begin, size_t end) { kernels_.pack_rows(all, 0, panels, begin, end); });
  // Every group of panels packs its slice of dy again, so columns are split only if rows alone give too few jobs.
  size_t height = kernels_.weight_grad_rows;
  while (threads > 1 && height > 2 * kernels_.product_rows && ceil_div(d.out, height) * panels < 2 * threads) height /= 2;
  const Pieces heights(d.out, kernels_.product_rows, jobs_of(d.out, height, threads));
  const Pieces columns(panels, 1, threads == 1 || heights.count >= 2 * threads ? 1 : ceil_div(2 * threads, heights.count));
  pool_.run(heights.count * columns.count, [&](size_t job, unsigned thread) {
    const size_t row = job / columns.count, column = job % columns.count;
    kernels_.weight_grad(args, heights.begin(row), heights.begin(row + 1), columns.begin(column), columns.begin(column + 1), scratch(thread));
  });
}

}  // namespace dropstream
