#include "test/program-runs.h"

#include <chrono>
#include <memory>
#include <thread>

#include "test/harness.h"

namespace dropstream::test {

namespace {

constexpr size_t kSamples = 13;

struct Batch {
  std::vector<float> images, targets;
  Batch(const ProgramSpec& s) : images(kSamples * s.image_floats), targets(kSamples * s.classes) {
    Random random(3);
    for (float& x : images) x = random.value();
    for (size_t i = 0; i < kSamples; i++) targets[i * s.classes + i % s.classes] = 1;
  }
};

LeafRequest request_of(const ProgramSpec& s, const Batch& batch) {
  LeafRequest r;
  r.micro = {{batch.images.data(), batch.targets.data(), kSamples, 40}};
  r.random.seed = 0x1234567890abcdefull;
  r.random.step = 2;
  for (size_t i = 0; i < s.sites.size(); i++) r.random.site_rates.push_back(0.1 * (double)(1 + i % 2));
  r.random.path_rates.assign(s.paths, 0.3);
  r.loss_scale = 1.0f / kSamples;
  return r;
}

Optimizer optimizer_of(const ProgramSpec& s) {
  return {OptimizerKind::adamw,
          0.9,
          0.999,
          1e-8,
          0.9,
          1.0,
          0.99,
          1,
          std::vector<double>(s.parameters.size(), 0.01),
          std::vector<double>(s.parameters.size(), 0.05)};
}

// A step of one leaf.
double step(Program& program, const LeafRequest& request, LeafResult& result, const Optimizer* optimizer = nullptr) {
  UpdateResult update;
  program.accumulate(request, result, program.ticket());
  program.update(optimizer, update, program.ticket());
  return update.grad_norm;
}

std::unique_ptr<Program> program_of(const ProgramSpec& s, const KernelTable& k, Pool& pool) {
  auto program = std::make_unique<Program>(s, k, pool);
  Random random(8);
  for (size_t p = 0; p < s.parameters.size(); p++) {
    std::vector<float> data(s.parameters[p]);
    for (float& x : data) x = random.value() * 0.2f;
    program->write(State::weights, p, data.data());
  }
  return program;
}

double mean_loss(const LeafResult& r) {
  double sum = 0;
  for (const float x : r.losses) sum += x;
  return sum / (double)r.losses.size();
}

// Two leaves and an update; false where one was cancelled.
bool step_in_leaves(Program& program, const LeafRequest& request, const Optimizer& optimizer, LeafResult& result, double* grad_norm) {
  try {
    const uint64_t ticket = program.ticket();
    LeafRequest leaf = request;
    leaf.leaves = 2;
    for (leaf.leaf = 0; leaf.leaf < 2; leaf.leaf++) program.accumulate(leaf, result, ticket);
    UpdateResult update;
    program.update(&optimizer, update, ticket);
    *grad_norm = update.grad_norm;
    return true;
  } catch (const Cancelled&) {
    return false;
  }
}

// A step that is cancelled at any moment leaves no trace: state and later steps have the bits of a program that never began it.
void cancelled_anywhere(const std::string& isa, const KernelTable& k, const ProgramSpec& s, const Batch& batch) {
  Pool pool(2);
  auto disturbed = program_of(s, k, pool), other = program_of(s, k, pool);
  const LeafRequest r = request_of(s, batch);
  Optimizer optimizer = optimizer_of(s);
  LeafResult result, expected;
  for (int t = 1; t <= 12; t++) {
    optimizer.step = (uint64_t)t;
    double norm = 0, expected_norm = 0;
    std::thread canceller([&] {
      std::this_thread::sleep_for(std::chrono::microseconds(200 * t));
      disturbed->cancel();
    });
    bool done = step_in_leaves(*disturbed, r, optimizer, result, &norm);
    canceller.join();
    if (!done) done = step_in_leaves(*disturbed, r, optimizer, result, &norm);
    step_in_leaves(*other, r, optimizer, expected, &expected_norm);
    check(done && norm == expected_norm, isa + " norm after a cancelled step");
  }
  for (const State state : {State::weights, State::first_moment, State::second_moment, State::ema})
    for (size_t p = 0; p < s.parameters.size(); p++)
      check_same_bits(isa + " state after cancelled steps", disturbed->read(state, p), other->read(state, p), s.parameters[p]);
}

}  // namespace

void check_runs(const std::string& name, const KernelTable& k, const ProgramSpec& s) {
  const std::string isa = std::string(k.isa) + " " + name;
  const Batch batch(s);
  // Three optimizer steps have equal bits for 1, 2 and 5 threads.
  std::vector<std::vector<float>> runs;
  for (const unsigned threads : {1u, 2u, 5u}) {
    Pool pool(threads);
    auto program = program_of(s, k, pool);
    if (threads == 2) program->start_profile(1 << 12);  // recording changes no bit and allocates nothing either
    LeafRequest r = request_of(s, batch);
    Optimizer optimizer = optimizer_of(s);
    std::vector<float> bits;
    LeafResult result;
    for (int t = 1; t <= 3; t++) {
      optimizer.step = (uint64_t)t;
      r.random.step = (uint32_t)t;
      program->check(r);
      program->check(optimizer);
      const size_t before = allocations;
      const double grad_norm = step(*program, r, result, &optimizer);
      const size_t allocated = allocations - before;
      if (t > 1) check(allocated == 0, isa + " step " + std::to_string(t) + " allocates");
      bits.insert(bits.end(), result.losses.begin(), result.losses.end());
      bits.push_back((float)grad_norm);
    }
    for (const State state : {State::weights, State::gradients, State::first_moment, State::second_moment, State::ema})
      for (size_t p = 0; p < s.parameters.size(); p++) bits.insert(bits.end(), program->read(state, p), program->read(state, p) + s.parameters[p]);
    runs.push_back(bits);
  }
  bool finite = true;
  for (const float x : runs[0]) finite &= std::isfinite(x);
  check(finite, isa + " is finite");
  check_same_bits(isa + " 1 and 2 threads", runs[0].data(), runs[1].data(), runs[0].size());
  check_same_bits(isa + " 1 and 5 threads", runs[0].data(), runs[2].data(), runs[0].size());

  cancelled_anywhere(isa, k, s, batch);

  // The gradient against central differences of the mean loss, with dropout and drop path on (their draws depend on the counter only).
  Pool pool(2);
  auto program = program_of(s, k, pool);
  const LeafRequest r = request_of(s, batch);
  LeafResult result;
  step(*program, r, result);
  Random random(77);
  for (size_t p = 0; p < s.parameters.size(); p++) {
    const std::vector<float> weights(program->read(State::weights, p), program->read(State::weights, p) + s.parameters[p]);
    step(*program, r, result);
    const std::vector<float> gradient(program->read(State::gradients, p), program->read(State::gradients, p) + s.parameters[p]);
    // Along the gradient itself plus a random direction: one derivative that every element takes part in.
    double norm = 0, expected = 0;
    std::vector<float> direction(s.parameters[p]);
    for (size_t i = 0; i < direction.size(); i++) {
      direction[i] = gradient[i] * 50 + random.value() * 0.2f;
      norm += direction[i] * direction[i];
    }
    const double h = 0.02 / std::sqrt(norm);
    std::vector<float> moved = weights;
    double side[2];
    for (int sign = 0; sign < 2; sign++) {
      for (size_t i = 0; i < moved.size(); i++) moved[i] = weights[i] + (float)((sign ? -h : h) * direction[i]);
      program->write(State::weights, p, moved.data());
      step(*program, r, result);
      side[sign] = mean_loss(result);
    }
    program->write(State::weights, p, weights.data());
    for (size_t i = 0; i < direction.size(); i++) expected += gradient[i] * direction[i];
    const double slope = (side[0] - side[1]) / (2 * h);
    check(std::fabs(slope - expected) <= 0.01 * std::fabs(expected) + 2e-5 * std::sqrt(norm),
          isa + " gradient of parameter " + std::to_string(p) + ": " + std::to_string(expected) + ", differences give " + std::to_string(slope));
  }
}

}  // namespace dropstream::test
