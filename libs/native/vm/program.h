// A program with its memory: created once, then stepped and evaluated. Synchronous and single-threaded at this face (the binding gives it
// a thread of its own), but for cancel(); inside, kernels run on the shared pool. All memory is taken at creation, but for the gradients of a
// second leaf, which are taken when first needed; results grow once, at the first step.
//
// A step is an accumulate for every leaf, in any order, then an update. It begins with the first accumulate after an update or a cancel.
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

// Fields as StepRandomness of libs/engine/executable.ts. Masks: null where absent; of the samples of the leaf.
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

// A leaf of a step: whole micro-batches, their gradient from zero.
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

// Values of one parameter outside the program.
struct ParameterValues {
  uint32_t parameter;
  float* values;
};

// The samples and operands of the chunk that runs now.
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

// One weight packed for products, made on first use and again when its version is old.
struct Pack {
  uint32_t parameter;
  bool transposed;  // pack of Wᵀ (forward), else of W (input gradient)
  Type type;
  size_t in, out, offset;
  uint64_t version = 0;
  size_t of_w = SIZE_MAX;  // transposed: index of the pack of W, where the backward pass needs one
};

class Program {
 public:
  // Throws std::invalid_argument (a bad spec) or std::bad_alloc.
  Program(const ProgramSpec& spec, const KernelTable& kernels, Pool& pool);

  // Throws std::invalid_argument naming what is wrong with lengths, rates or scalars.
  void check(const LeafRequest& request) const;
  void check(const Optimizer& optimizer) const;
  void check_evaluation(const MicroBatch& batch) const;

  // After check(), with the ticket() of when they were asked for; throw Cancelled when cancel() was called since, and std::invalid_argument for
  // a leaf that is there already or one that is missing. An update ends the step in any case. It is cancelled up to where the optimizer
  // begins to change weights, and completed from there on. Without `optimizer` only the norm is computed, and an update may follow.
  void accumulate(const LeafRequest& request, LeafResult& result, uint64_t ticket);
  void update(const Optimizer* optimizer, UpdateResult& result, uint64_t ticket);
  void evaluate(const MicroBatch& batch, bool ema, LeafResult& result, uint64_t ticket);

  // From any thread.
  uint64_t ticket() const { return pool_.ticket(); }
  void cancel() { pool_.cancel(); }
  // cancel(), and initialize() too stops in the middle: only before the program is destroyed.
  void stop() {
    stopped_ = true;
    cancel();
  }

  // The sum of some leaves, all parameters end to end: out of the program, and into it instead of accumulating them.
  void read_subtree(Subtree node, float* into);
  void write_subtree(uint32_t leaves, Subtree node, const float* from, uint64_t ticket);
  // The step under way is given up.
  void discard_leaves() { sums_.clear(); }

  // Weights and EMA drawn, moments zero. One initializer a parameter; the key is that of purpose 'init' (libs/nn/initialisation.ts).
  void initialize(const std::vector<Initializer>& initializers, const uint32_t (&key)[2]);

  // Elements of one parameter and of all. A write makes packed copies stale. Gradients: those of the last update, or std::invalid_argument.
  size_t parameter_size(size_t parameter) const { return spec_.parameters.at(parameter); }
  size_t parameter_floats() const { return parameter_floats_; }
  const float* read(State state, size_t parameter) const;
  void write(State state, size_t parameter, const float* data);
  // Many parameters at once, by all threads.
  void read(State state, const std::vector<ParameterValues>& into);
  void write(State state, const std::vector<ParameterValues>& from);

  // From any thread.
  size_t memory_bytes() const { return memory_bytes_; }
  // Not while a call runs. start_profile: room for so many kernel calls and for so many jobs of every thread, 0 for off.
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

  // Operand i of an op in the current chunk: of either type, or, where only fp32 is allowed, as floats. Null where it is absent.
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

  // Cuts [0, total) at multiples of `unit` into up to four pieces a thread, as far as `grain` makes one worth a job.
  template <class Body>
  void spread(size_t total, size_t grain, Body body, size_t unit = 1);

  // run-*.cc, one group of kernels each
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
  size_t map_shared_floats(const Op& op) const;  // of shared_, for the kernels on token maps
  size_t window_shared_floats(const Op& op) const;

  // run-optimizer.cc
  double gradient_norm();
  double optimize(const Optimizer& optimizer, CancellablePool::Call& call);  // the norm
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
  std::vector<Block> zeroed_;  // those of gradients that are only ever added to
  std::vector<Pack> packs_;
  Memory arena_, weights_, first_, second_, ema_, packed_, shared_, scratch_, kept_, norms_;
  size_t scratch_floats_ = 0, parameter_floats_ = 0;
  GradientSums sums_;
  float* gradient_ = nullptr;  // of the leaf or sum that is worked on
  uint64_t step_ticket_ = 0;
  enum class StepState { open, normed, updated } step_state_ = StepState::open;
  std::atomic<size_t> memory_bytes_{0};
  uint64_t version_ = 1;
  Chunk chunk_;
  Profile profile_;
  std::atomic<bool> stopped_{false};
};

template <class Body>
void Program::spread(size_t total, size_t grain, Body body, size_t unit) {
  if (total == 0) return;
  const size_t threads = pool_.threads(), worth = ceil_div(total, grain);
  const Pieces pieces(total, unit, threads == 1 ? 1 : worth <= threads ? worth : std::min(worth / threads, size_t{4}) * threads);
  pool_.run(pieces.count, [&](size_t job, unsigned thread) { body(pieces.begin(job), pieces.begin(job + 1), thread); });
}

}  // namespace dropstream
