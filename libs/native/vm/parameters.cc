// Reading and writing parameter states.
#include <cstring>
#include <stdexcept>

#include "vm/program.h"

namespace dropstream {

const Memory& Program::memory_of(State state) const {
  switch (state) {
    case State::weights: return weights_;
    case State::gradients: return gradients_;
    case State::first_moment: return first_;
    case State::second_moment: return second_;
    case State::ema: return ema_;
  }
  throw std::invalid_argument("unknown state");
}

const float* Program::read(State state, size_t parameter) const { return memory_of(state).floats() + parameter_offset_.at(parameter); }

void Program::write(State state, size_t parameter, const float* data) {
  memcpy(memory_of(state).floats() + parameter_offset_.at(parameter), data, parameter_size(parameter) * sizeof(float));
  if (state == State::weights || state == State::ema) version_++;
}

}  // namespace dropstream
