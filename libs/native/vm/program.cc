// Creation: check, place parameters, plan packed weights and scratch, take all memory.
#include "vm/program.h"

#include <algorithm>

#include "vm/validate.h"

namespace dropstream {

namespace {
constexpr size_t kBlock = 16384;  // elements of one norm / update block: 64 KiB a stream

size_t up16(size_t n) { return (n + 15) / 16 * 16; }
}  // namespace

Program::Program(const ProgramSpec& spec, const KernelTable& kernels, Pool& pool) : spec_(spec), kernels_(kernels), pool_(pool) {
  CheckedProgram checked = check_program(spec);
  forward_ = std::move(checked.forward);
  backward_ = std::move(checked.backward);
  place_parameters();
  plan_packs(forward_);
  plan_packs(backward_);
  plan_gradients();
  plan_scratch();
  sums_.start(parameter_offset_.back() + up16(spec_.parameters.back()), backward_.empty() ? 0 : 1);
  arena_ = Memory(spec_.arena_floats * sizeof(float));
  kept_ = Memory((spec_.paths + 1) * spec_.chunk_samples * sizeof(uint32_t));
  chunk_.counts.resize(spec_.paths + 1);
  chunk_.path_scales.resize(spec_.paths);
  chunk_.sites.resize(spec_.sites.size());
  count_memory();
}

void Program::place_parameters() {
  size_t total = 0;
  for (uint32_t p = 0; p < spec_.parameters.size(); p++) {
    parameter_offset_.push_back(total);
    total += up16(spec_.parameters[p]);
    parameter_floats_ += spec_.parameters[p];
    for (size_t begin = 0; begin < spec_.parameters[p]; begin += kBlock) blocks_.push_back({p, begin, std::min(begin + kBlock, spec_.parameters[p])});
  }
  for (Memory* memory : {&weights_, &first_, &second_, &ema_}) *memory = Memory(total * sizeof(float));
  norms_ = Memory(blocks_.size() * sizeof(double));
}

void Program::plan_packs(std::vector<Op>& ops) {
  size_t total = packs_.empty() ? 0 : packed_.bytes() / sizeof(float);
  for (Op& op : ops) {
    const bool transposed = op.kernel == Kernel::linear;
    if (!transposed && op.kernel != Kernel::linear_input_grad) continue;
    const uint32_t parameter = op.inputs[1].index;
    const Type type = type_of(op.inputs[0]);
    const auto index_of = [&](bool want_transposed) {
      const auto found = std::find_if(packs_.begin(), packs_.end(), [&](const Pack& p) {
        return p.parameter == parameter && p.transposed == want_transposed && p.type == type && p.in == op.dims.in && p.out == op.dims.out;
      });
      return (size_t)(found - packs_.begin());
    };
    op.pack = index_of(transposed);
    if (op.pack < packs_.size()) continue;
    packs_.push_back({parameter, transposed, type, op.dims.in, op.dims.out, total});
    // The forward pass, with all its packs of Wᵀ, is planned first.
    if (const size_t forward = index_of(true); forward < op.pack) packs_[forward].of_w = op.pack;
    total += up16(transposed ? kernels_.packed_floats(op.dims.in, op.dims.out, type) : kernels_.packed_floats(op.dims.out, op.dims.in, type));
  }
  packed_ = Memory(total * sizeof(float));
}

// The first instruction that writes a weight's gradient stores it, instead of adding to zeros: writing and reading zeros would be two
// streams of memory beside the optimizer's seven.
void Program::plan_gradients() {
  std::vector<bool> written(spec_.parameters.size()), stored(spec_.parameters.size());
  for (Op& op : backward_)
    for (size_t i = 0; i < op.outputs.size(); i++) {
      const Operand& output = op.outputs[i];
      if (output.kind != OperandKind::grad || written[output.index]) continue;
      written[output.index] = true;
      if (op.kernel == Kernel::linear_weight_grad && i == 0) op.begins = stored[output.index] = true;
    }
  for (const Block& block : blocks_)
    if (!stored[block.parameter]) zeroed_.push_back(block);
}

void Program::plan_scratch() {
  size_t shared = 0, each = kernels_.weight_grad_scratch;
  for (const auto* ops : {&forward_, &backward_})
    for (const Op& op : *ops) {
      const Dims& d = op.dims;
      const size_t rows = spec_.chunk_samples * d.rows;
      if (op.kernel == Kernel::linear_weight_grad) {
        const Type type = type_of(op.inputs[0]);
        shared = std::max({shared, kernels_.packed_floats(rows, d.in, type), d.out < d.in ? kernels_.packed_left_floats(rows, d.out, type) : 0});
      }
      if (op.kernel == Kernel::layer_norm_grad) shared = std::max(shared, (rows / 32 + 1) * 2 * d.width);
      if (op.kernel == Kernel::attention) each = std::max(each, kernels_.attention_scratch(d.tokens, d.head_dim, type_of(op.inputs[0])));
      if (op.kernel == Kernel::attention_grad) each = std::max(each, kernels_.attention_grad_scratch(d.tokens, d.head_dim, type_of(op.inputs[0])));
      if (op.kernel == Kernel::window_attention) each = std::max(each, kernels_.window_scratch(d.window, d.head_dim, type_of(op.inputs[0])));
      if (op.kernel == Kernel::window_attention_grad) each = std::max(each, kernels_.window_grad_scratch(d.window, d.head_dim, type_of(op.inputs[0])));
      shared = std::max({shared, map_shared_floats(op), window_shared_floats(op)});
    }
  shared_ = Memory(shared * sizeof(float));
  scratch_floats_ = up16(each);
  scratch_ = Memory(scratch_floats_ * pool_.threads() * sizeof(float));
}

void Program::count_memory() {
  size_t total = sums_.buffers() * sums_.floats() * sizeof(float);
  for (const Memory* memory : {&arena_, &weights_, &first_, &second_, &ema_, &packed_, &shared_, &scratch_, &kept_, &norms_}) total += memory->bytes();
  memory_bytes_ = total;
}

}  // namespace dropstream
