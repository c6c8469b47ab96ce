// The parts of an optimizer step, and evaluation. A leaf is its chunks in order, each forward and backward. An update is norm, clip,
// optimizer and EMA.
#include <chrono>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "vm/program.h"

namespace dropstream {

namespace {

double now() { return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count(); }

void check_rates(const char* field, const std::vector<double>& rates, size_t count) {
  if (rates.size() != count)
    throw std::invalid_argument(std::string(field) + " has " + std::to_string(rates.size()) + " entries, must have " + std::to_string(count));
  for (double rate : rates)
    if (!(rate >= 0 && rate < 1)) throw std::invalid_argument(std::string(field) + " has " + std::to_string(rate) + ", must be at least 0 and below 1");
}

void check_finite(const char* field, double value, double least) {
  if (!std::isfinite(value) || value < least)
    throw std::invalid_argument(std::string(field) + " is " + std::to_string(value) + ", must be finite and at least " + std::to_string(least));
}

}  // namespace

void Program::check_evaluation(const MicroBatch& batch) const {
  if (batch.samples < 1 || batch.samples > (1u << 24))
    throw std::invalid_argument("samples is " + std::to_string(batch.samples) + ", must be from 1 to 16777216");
}

void Program::check(const LeafRequest& request) const {
  if (backward_.empty()) throw std::invalid_argument("the program has no backward pass: it only evaluates");
  if (request.micro.empty()) throw std::invalid_argument("a leaf needs at least one micro-batch");
  for (const MicroBatch& micro : request.micro) check_evaluation(micro);
  check_rates("siteRates", request.random.site_rates, spec_.sites.size());
  check_rates("pathRates", request.random.path_rates, spec_.paths);
  if (!std::isfinite(request.loss_scale)) throw std::invalid_argument("lossScale must be finite");
}

void Program::check(const Optimizer& o) const {
  if (o.learning_rate.size() != spec_.parameters.size() || o.weight_decay.size() != spec_.parameters.size())
    throw std::invalid_argument("learningRate and weightDecay must have one entry per parameter");
  for (const double rate : o.learning_rate) check_finite("learningRate", rate, 0);
  for (const double decay : o.weight_decay) check_finite("weightDecay", decay, 0);
  check_finite("eps", o.eps, 0);
  check_finite("momentum", o.momentum, 0);
  check_finite("clip", o.clip, 0);
  if (o.step < 1) throw std::invalid_argument("optimizer.step is 0, must be at least 1");
  if (!(o.beta1 >= 0 && o.beta1 < 1 && o.beta2 >= 0 && o.beta2 < 1)) throw std::invalid_argument("beta1 and beta2 must be at least 0 and below 1");
  if (!(o.ema_decay == -1 || (o.ema_decay >= 0 && o.ema_decay <= 1))) throw std::invalid_argument("emaDecay must be from 0 to 1, or -1 for none");
}

float* Program::place(const Operand& operand) const {
  switch (operand.kind) {
    case OperandKind::value: return arena_.floats() + spec_.values[operand.index].offset;
    case OperandKind::param: return const_cast<float*>(chunk_.parameters) + parameter_offset_[operand.index];
    case OperandKind::grad: return gradient_ + parameter_offset_[operand.index];
    case OperandKind::images: return const_cast<float*>(chunk_.images);
    case OperandKind::targets: return const_cast<float*>(chunk_.targets);
  }
  return nullptr;
}

Type Program::type_of(const Operand& operand) const { return operand.kind == OperandKind::value ? spec_.values[operand.index].type : Type::fp32; }

In Program::in(const Op& op, size_t i) const { return i < op.inputs.size() ? In(place(op.inputs[i]), type_of(op.inputs[i])) : In(); }
Out Program::out(const Op& op, size_t i) const { return i < op.outputs.size() ? Out(place(op.outputs[i]), type_of(op.outputs[i])) : Out(); }
float* Program::input(const Op& op, size_t i) const { return i < op.inputs.size() ? place(op.inputs[i]) : nullptr; }
float* Program::output(const Op& op, size_t i) const { return i < op.outputs.size() ? place(op.outputs[i]) : nullptr; }

void Program::run_op(const Op& op) {
  switch (op.kernel) {
// clang-format 14 would join a macro of several lines with the #include below.
// clang-format off
#define KERNEL(name, ...) case Kernel::name: return run_##name(op);
#include "kernels.def"
    // clang-format on
  }
}

void Program::run(const std::vector<Op>& ops, Profile::Part part) {
  for (size_t i = 0; i < ops.size(); i++) {
    const Profile::Span span(profile_, part, i, samples(ops[i]));
    run_op(ops[i]);
    pool_.throw_if_cancelled();
  }
}

void Program::collect(size_t row, size_t samples, LeafResult& result) {
  memcpy(result.logits.data() + row * spec_.classes, place({OperandKind::value, spec_.logits}), samples * spec_.classes * sizeof(float));
  memcpy(result.losses.data() + row, place({OperandKind::value, spec_.loss}), samples * sizeof(float));
}

void Program::zero_gradients() {
  const Profile::Span span(profile_, Profile::Part::update, 0, 0);
  spread(zeroed_.size(), 4, [&](size_t begin, size_t end, unsigned) {
    for (size_t i = begin; i < end; i++) {
      const Block& block = zeroed_[i];
      memset(gradient_ + parameter_offset_[block.parameter] + block.begin, 0, (block.end - block.begin) * sizeof(float));
    }
  });
}

void Program::add_gradients(float* sum, const float* other) {
  const Profile::Span span(profile_, Profile::Part::update, 3, 0);
  const Pieces pieces(sums_.floats(), 16,
                      std::max<size_t>(4 * pool_.threads(), sums_.floats() >> 18));  // pieces of at most 1 MiB, so that cancelling does not wait long
  pool_.run(pieces.count, [&](size_t job, unsigned) {
    const size_t begin = pieces.begin(job), end = pieces.begin(job + 1);
    kernels_.add(In(sum + begin), In(other + begin), Out(sum + begin), end - begin);
  });
  pool_.throw_if_cancelled();
}

void Program::begin_step(uint64_t ticket) {
  if (step_state_ != StepState::open || step_ticket_ != ticket) sums_.clear();
  step_state_ = StepState::open;
  step_ticket_ = ticket;
}

void Program::accumulate(const LeafRequest& request, LeafResult& result, uint64_t ticket) {
  const CancellablePool::Call call(pool_, ticket);
  const Profile::Recording recording(profile_, pool_.pool());
  begin_step(ticket);
  const Subtree leaf{request.leaf, 1};
  gradient_ = sums_.take(request.leaves, leaf);
  count_memory();
  size_t total = 0;
  for (const MicroBatch& micro : request.micro) total += micro.samples;
  result.losses.resize(total);
  result.logits.resize(total * spec_.classes);
  result.forward_seconds = result.backward_seconds = 0;
  zero_gradients();
  chunk_.training = true;
  chunk_.parameters = weights_.floats();
  chunk_.loss_scale = request.loss_scale;
  begin_sites(request.random);
  size_t row = 0;
  for (const MicroBatch& micro : request.micro) {
    for (size_t start = 0; start < micro.samples; start += spec_.chunk_samples) {
      const size_t samples = micro.samples - start < spec_.chunk_samples ? micro.samples - start : spec_.chunk_samples;
      const double began = now();
      begin_chunk(micro, start, samples, row, &request.random);
      run(forward_, Profile::Part::forward);
      collect(row, samples, result);
      const double forward_done = now();
      run(backward_, Profile::Part::backward);
      result.forward_seconds += forward_done - began;
      result.backward_seconds += now() - forward_done;
      row += samples;
    }
  }
  const double began = now();
  sums_.put(leaf, [&](float* sum, const float* other) { add_gradients(sum, other); });
  result.backward_seconds += now() - began;
}

void Program::update(const Optimizer* optimizer, UpdateResult& result, uint64_t ticket) {
  try {
    if (step_ticket_ != ticket) sums_.clear();
    CancellablePool::Call call(pool_, ticket);
    const Profile::Recording recording(profile_, pool_.pool());
    gradient_ = sums_.whole();
    if (step_state_ == StepState::updated) throw std::invalid_argument("the step was updated already");
    const double began = now();
    if (optimizer) check(*optimizer);
    result.grad_norm = optimizer ? optimize(*optimizer, call) : gradient_norm();
    pool_.throw_if_cancelled();
    result.seconds = now() - began;
    step_state_ = optimizer ? StepState::updated : StepState::normed;
  } catch (...) {
    sums_.clear();
    throw;
  }
}

void Program::evaluate(const MicroBatch& batch, bool ema, LeafResult& result, uint64_t ticket) {
  const CancellablePool::Call call(pool_, ticket);
  const Profile::Recording recording(profile_, pool_.pool());
  result.losses.resize(batch.samples);
  result.logits.resize(batch.samples * spec_.classes);
  chunk_.training = false;
  chunk_.parameters = (ema ? ema_ : weights_).floats();
  chunk_.loss_scale = 1;
  for (size_t start = 0; start < batch.samples; start += spec_.chunk_samples) {
    const size_t samples = batch.samples - start < spec_.chunk_samples ? batch.samples - start : spec_.chunk_samples;
    begin_chunk(batch, start, samples, start, nullptr);
    run(forward_, Profile::Part::forward);
    collect(start, samples, result);
  }
}

}  // namespace dropstream
