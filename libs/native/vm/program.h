// A program and its memory: created once, then used for steps and evaluations. All calls except cancel() are synchronous and must come from
// one thread (the binding gives every program a thread of its own); inside, kernels run on the shared pool. Memory is allocated at
// creation, except for the gradients of a second leaf, which are allocated when first needed. Results grow once, in the first step.
//
// A step is one accumulate() per leaf, in any order, followed by an update(). It begins with the first accumulate() after an update or a
// cancel.
#pragma once
#include <algorithm>
#include <atomic>
#include <string>
#include <vector>

#include "kernels/kernels.h"
#include "threads/pieces.h"
#include "vm/cancellable-pool.h"
#include "vm/gradient-sums.h"
#include "vm/initializer.h"
#include "vm/memory.h"
#include "vm/profile.h"
#include "vm/spec.h"

namespace dropstream {

struct MicroBatch {
  const float* images = nullptr;
  const float* targets = nullptr;
  size_t samples = 0;
  uint32_t first_sample = 0;
};

// The fields are those of StepRandomness in libs/engine/executable.ts. A mask is null if absent, and covers the samples of the leaf.
struct Randomness {
  uint64_t seed = 0;
  uint32_t step = 0;
  std::vector<double> site_rates, path_rates;
  std::vector<const uint8_t*> site_masks, path_masks;
};

struct Optimizer {
  OptimizerKind kind = OptimizerKind::adamw;
  double beta1 = 0, beta2 = 0, eps = 0, momentum = 0, clip = 0, ema_decay = -1;
  uint64_t step = 1;
  std::vector<double> learning_rate, weight_decay;
};

// A leaf of a step: whole micro-batches, whose gradient is summed from zero.
struct LeafRequest {
  std::vector<MicroBatch> micro;
  Randomness random;
  float loss_scale = 1;
  uint32_t leaf = 0, leaves = 1;
};

struct LeafResult {
  std::vector<float> losses, logits;
  double forward_seconds = 0, backward_seconds = 0;
};

struct UpdateResult {
  double grad_norm = 0, seconds = 0;
};

enum class State { weights, gradients, first_moment, second_moment, ema };

// The values of one parameter, in memory outside the program.
struct ParameterValues {
  uint32_t parameter;
  float* values;
};

// The samples and operands of the chunk that is being computed.
struct Chunk {
  bool training = false;
  const float* images = nullptr;
  const float* targets = nullptr;
  uint32_t first_counter = 0;
  size_t first_row = 0;            // of the leaf
  std::vector<size_t> counts;      // samples per domain
  std::vector<float> path_scales;  // 1 / (1 − p)
  std::vector<DropoutSite> sites;
  const float* parameters = nullptr;  // weights or EMA
  float loss_scale = 1;
};

// A weight packed for products. It is packed on first use, and again after the parameters have changed.
struct Pack {
  uint32_t parameter;
  bool transposed;  // pack of Wᵀ (forward), else of W (input gradient)
  Type type;
  size_t in, out, offset;
  uint64_t version = 0;
  size_t of_w = SIZE_MAX;  // transposed: index of the pack of W, where the backward pass needs one
};

// Hidden, so that the addon does not link where a row of kernels.def has no run_*: the call of a visible function would fail in the first step.
class __attribute__((visibility("hidden"))) Program {
 public:
  // Throws std::invalid_argument (a bad spec) or std::bad_alloc.
  Program(const ProgramSpec& spec, const KernelTable& kernels, Pool& pool);

  // Throw std::invalid_argument and name what is wrong with lengths, rates or scalars.
  void check(const LeafRequest& request) const;
  void check(const Optimizer& optimizer) const;
  void check_evaluation(const MicroBatch& batch) const;

  // Call these after check(), with the ticket() that was valid when the call was requested. They throw Cancelled if cancel() was called
  // since then, and std::invalid_argument for a leaf that is already present or missing. An update always ends the step. It can be
  // cancelled until the optimizer begins to change weights, and is completed from there on. Without `optimizer` only the norm is computed,
  // and another update may follow.
  void accumulate(const LeafRequest& request, LeafResult& result, uint64_t ticket);
  void update(const Optimizer* optimizer, UpdateResult& result, uint64_t ticket);
  void evaluate(const MicroBatch& batch, bool ema, LeafResult& result, uint64_t ticket);

  // May be called from any thread.
  uint64_t ticket() const { return pool_.ticket(); }
  void cancel() { pool_.cancel(); }
  // Like cancel(), but stops initialize(), too. The program must be destroyed afterwards.
  void stop() {
    stopped_ = true;
    cancel();
  }

  // Copies the sum of some leaves, with all parameters concatenated, out of the program; or into it, in place of accumulating those leaves.
  void read_subtree(Subtree node, float* into);
  void write_subtree(uint32_t leaves, Subtree node, const float* from, uint64_t ticket);
  // Abandons the current step.
  void discard_leaves() { sums_.clear(); }

  // Draws the weights, copies them to the EMA and clears the moments. There is one initializer per parameter; the key belongs to the
  // purpose 'init' (libs/nn/initialisation.ts).
  void initialize(const std::vector<Initializer>& initializers, const uint32_t (&key)[2]);

  // The number of elements of one parameter, and of all. Writing weights makes the program pack them again. Gradients are those of the last
  // update; without one, reading them throws std::invalid_argument.
  size_t parameter_size(size_t parameter) const { return spec_.parameters.at(parameter); }
  size_t parameter_floats() const { return parameter_floats_; }
  const float* read(State state, size_t parameter) const;
  void write(State state, size_t parameter, const float* data);
  // Copies many parameters at once, with all threads.
  void read(State state, const std::vector<ParameterValues>& into);
  void write(State state, const std::vector<ParameterValues>& from);

  // May be called from any thread.
  size_t memory_bytes() const { return memory_bytes_; }
  // Must not be called while another call runs. start_profile makes room for this number of kernel calls and of jobs per thread; 0 turns
  // recording off.
  void start_profile(size_t calls) { profile_.start(calls, pool_.threads()); }
  Profile& profile() { return profile_; }
  const ProgramSpec& spec() const { return spec_; }

 private:
  void place_parameters();
  void plan_packs(std::vector<Op>& ops);
  void plan_gradients();
  void plan_scratch();
  void count_memory();
  float* state(State state) const;

  // randomness.cc
  void begin_chunk(const MicroBatch& micro, size_t start, size_t samples, size_t row, const Randomness* random);
  void begin_sites(const Randomness& random);

  // step.cc
  void run(const std::vector<Op>& ops, Profile::Part part);
  void run_op(const Op& op);
  void begin_step(uint64_t ticket);
  void zero_gradients();
  void add_gradients(float* sum, const float* other);
  void collect(size_t row, size_t samples, LeafResult& result);

  // Operand i of an instruction in the current chunk, of either type or, if only fp32 is allowed, as floats. Null if it is absent.
  In in(const Op& op, size_t i) const;
  Out out(const Op& op, size_t i) const;
  Type type_of(const Operand& operand) const;
  float* input(const Op& op, size_t i) const;
  float* output(const Op& op, size_t i) const;
  float* place(const Operand& operand) const;
  size_t samples(const Op& op) const { return chunk_.counts[op.domain]; }
  Samples sample_map(const Op& op) const { return {kept_.as<uint32_t>() + op.domain * spec_.chunk_samples, chunk_.first_counter, chunk_.first_row}; }
  DropoutSite site(const Op& op) const { return op.site < 0 || !chunk_.training ? DropoutSite{} : chunk_.sites[(size_t)op.site]; }
  float* scratch(unsigned thread) const { return scratch_.floats() + thread * scratch_floats_; }

  // Splits [0, total) at multiples of `unit` into up to four pieces per thread, but not into pieces that are smaller than `grain` makes
  // worthwhile.
  template <class Body>
  void spread(size_t total, size_t grain, Body body, size_t unit = 1);

  // These are implemented in run-*.cc, one group of kernels each.
  In packed(const Op& op, const float* weight);
  PackArgs pack_args(const Pack& pack, const float* weight) const;
  void multiply(const ProductArgs& args);
#define KERNEL(name, ...) void run_##name(const Op& op);
#include "kernels.def"
  void run_attention(const Op& op, bool backward);
  void run_elementwise(const Op& op, void (*kernel)(In x, Out y, size_t n));
  void run_elementwise(const Op& op, void (*kernel)(In a, In b, Out y, size_t n));
  template <class Body>
  void for_samples(const Op& op, size_t elements, Body body);
  const uint32_t* kept_samples(const Op& op) const { return kept_.as<uint32_t>() + (op.dims.path + 1) * spec_.chunk_samples; }  // of the op's path
  float path_factor(const Op& op) const { return op.dims.scaled ? chunk_.path_scales[op.dims.path] : 1.0f; }
  void run_merge(const Op& op, void (*kernel)(const MergeArgs&, size_t row_begin, size_t row_end));
  void run_depthwise(const Op& op, bool flipped);
  WindowArgs window_args(const Op& op);
  size_t map_shared_floats(const Op& op) const;  // of shared_, for kernels on token maps
  size_t window_shared_floats(const Op& op) const;

  // run-optimizer.cc
  double gradient_norm();
  double optimize(const Optimizer& optimizer, CancellablePool::Call& call);  // returns the norm
  double block_squares(size_t block) const;
  double norm_of_blocks() const;

  struct Block {
    uint32_t parameter;
    size_t begin, end;
  };

  ProgramSpec spec_;
  const KernelTable& kernels_;
  CancellablePool pool_;
  std::vector<Op> forward_, backward_;
  std::vector<size_t> parameter_offset_;
  std::vector<Block> blocks_;  // of parameters, for norm and update
  std::vector<Block> zeroed_;  // of gradients that no instruction stores, so they must be zeroed
  std::vector<Pack> packs_;
  Memory arena_, weights_, first_, second_, ema_, packed_, shared_, scratch_, kept_, norms_;
  size_t scratch_floats_ = 0, parameter_floats_ = 0;
  GradientSums sums_;
  float* gradient_ = nullptr;  // of the current leaf or sum
  uint64_t step_ticket_ = 0;
  enum class StepState { open, normed, updated } step_state_ = StepState::open;
  std::atomic<size_t> memory_bytes_{0};
  uint64_t version_ = 1;
  Chunk chunk_;
  Profile profile_;
  std::atomic<bool> stopped_{false};
};

constexpr size_t kGrain = 8192;         // the fewest elements that are worth a job
constexpr size_t kRowsPerPartial = 32;  // of sums over rows; constant, because their order depends on it

template <class Body>
void Program::spread(size_t total, size_t grain, Body body, size_t unit) {
  if (total == 0) return;
  const size_t threads = pool_.threads(), worth = ceil_div(total, grain);
  const Pieces pieces(total, unit, threads == 1 ? 1 : worth <= threads ? worth : std::min(worth / threads, size_t{4}) * threads);
  pool_.run(pieces.count, [&](size_t job, unsigned thread) { body(pieces.begin(job), pieces.begin(job + 1), thread); });
}

}  // namespace dropstream
