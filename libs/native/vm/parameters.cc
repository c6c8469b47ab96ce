// Draws, reads and writes parameter states, with all threads if there is enough work.
#include <algorithm>
#include <cstring>
#include <stdexcept>

#include "random/normal.h"
#include "random/philox.h"
#include "vm/program.h"

namespace dropstream {

namespace {

constexpr size_t kDrawn = 16384;    // elements per job when drawing: about a millisecond
constexpr size_t kCopied = 262144;  // elements per job when copying: 1 MiB

// Draws elements [begin, end) of a parameter, where begin is a multiple of 2. Element i is a function of words 2i and 2i + 1 at counters
// (·, parameter, 0, 0).
void draw(const Initializer& initializer, uint32_t parameter, const uint32_t (&key)[2], size_t begin, size_t end, float* out) {
  constexpr size_t kPiece = 512;
  double u[kPiece];
  for (; begin < end; begin += kPiece, out += kPiece) {
    const size_t count = std::min(kPiece, end - begin);
    for (size_t i = 0; i < count; i += 2) {
      uint32_t words[4] = {(uint32_t)((begin + i) / 2), parameter, 0, 0};
      philox_block(key[0], key[1], words);
      for (size_t half = 0; half < 2; half++)
        u[i + half] = ((double)(words[2 * half] >> 6) * 67108864.0 + (double)(words[2 * half + 1] >> 6) + 0.5) * (1.0 / 4503599627370496.0);
    }
    if (initializer.kind == Initializer::Kind::normal) {
      normal_quantiles(u, count);
      for (size_t i = 0; i < count; i++) out[i] = (float)(initializer.value * u[i]);
    } else {
      for (size_t i = 0; i < count; i++) out[i] = (float)(initializer.value * (2 * u[i] - 1));
    }
  }
}

}  // namespace

float* Program::state(State state) const {
  switch (state) {
    case State::weights: return weights_.floats();
    case State::gradients:
      if (step_state_ == StepState::open) throw std::invalid_argument("gradients can be read after an update only");
      return sums_.whole();
    case State::first_moment: return first_.floats();
    case State::second_moment: return second_.floats();
    case State::ema: return ema_.floats();
  }
  throw std::invalid_argument("unknown state");
}

void Program::initialize(const std::vector<Initializer>& initializers, const uint32_t (&key)[2]) {
  struct Piece {
    uint32_t parameter;
    size_t begin, end;
  };
  std::vector<Piece> pieces;
  for (uint32_t p = 0; p < spec_.parameters.size(); p++)
    for (size_t begin = 0; begin < spec_.parameters[p]; begin += kDrawn) pieces.push_back({p, begin, std::min(begin + kDrawn, spec_.parameters[p])});
  // New memory is zero and takes no pages until it is used, so this is cheaper than clearing.
  for (Memory* memory : {&first_, &second_}) *memory = Memory(memory->bytes());
  pool_.run(pieces.size(), [&](size_t job, unsigned) {
    if (stopped_.load(std::memory_order_relaxed)) return;
    const Piece& piece = pieces[job];
    const Initializer& initializer = initializers[piece.parameter];
    const size_t at = parameter_offset_[piece.parameter] + piece.begin, count = piece.end - piece.begin;
    if (initializer.kind == Initializer::Kind::constant)
      std::fill_n(weights_.floats() + at, count, (float)initializer.value);
    else
      draw(initializer, piece.parameter, key, piece.begin, piece.end, weights_.floats() + at);
    memcpy(ema_.floats() + at, weights_.floats() + at, count * sizeof(float));
  });
  version_++;
}

const float* Program::read(State from, size_t parameter) const { return state(from) + parameter_offset_.at(parameter); }

void Program::write(State to, size_t parameter, const float* data) {
  memcpy(state(to) + parameter_offset_.at(parameter), data, parameter_size(parameter) * sizeof(float));
  if (to == State::weights || to == State::ema) version_++;
}

namespace {

struct Copy {
  float* to;
  const float* from;
  size_t count;
};

void add_copies(std::vector<Copy>& copies, float* to, const float* from, size_t count) {
  for (size_t at = 0; at < count; at += kCopied) copies.push_back({to + at, from + at, std::min(kCopied, count - at)});
}

void copy_all(CancellablePool& pool, const std::vector<Copy>& copies) {
  pool.run(copies.size(), [&](size_t job, unsigned) { memcpy(copies[job].to, copies[job].from, copies[job].count * sizeof(float)); });
}

}  // namespace

void Program::read(State from, const std::vector<ParameterValues>& into) {
  std::vector<Copy> copies;
  const float* const all = state(from);
  for (const ParameterValues& one : into) add_copies(copies, one.values, all + parameter_offset_.at(one.parameter), parameter_size(one.parameter));
  copy_all(pool_, copies);
}

void Program::write(State to, const std::vector<ParameterValues>& from) {
  if (to == State::gradients) throw std::invalid_argument("gradients cannot be written");
  std::vector<Copy> copies;
  float* const all = state(to);
  for (const ParameterValues& one : from) add_copies(copies, all + parameter_offset_.at(one.parameter), one.values, parameter_size(one.parameter));
  copy_all(pool_, copies);
  if (to == State::weights || to == State::ema) version_++;
}

void Program::read_subtree(Subtree node, float* into) {
  std::vector<Copy> copies;
  const float* const sum = sums_.find(node);
  for (size_t p = 0; p < spec_.parameters.size(); into += spec_.parameters[p++]) add_copies(copies, into, sum + parameter_offset_[p], spec_.parameters[p]);
  copy_all(pool_, copies);
}

void Program::write_subtree(uint32_t leaves, Subtree node, const float* from, uint64_t ticket) {
  const CancellablePool::Call call(pool_, ticket);
  begin_step(ticket);
  float* const sum = sums_.take(leaves, node);
  count_memory();
  std::vector<Copy> copies;
  for (size_t p = 0; p < spec_.parameters.size(); from += spec_.parameters[p++]) add_copies(copies, sum + parameter_offset_[p], from, spec_.parameters[p]);
  copy_all(pool_, copies);
  sums_.put(node, [&](float* left, const float* right) { add_gradients(left, right); });
}

}  // namespace dropstream
