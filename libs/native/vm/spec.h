// A program as it is received (the C++ side of libs/engine/native/program-spec.ts), and as it is stored after every bound has been checked.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/types.h"

namespace dropstream {

enum class OperandKind { value, param, grad, images, targets };

struct Operand {
  OperandKind kind = OperandKind::value;
  uint32_t index = 0;
};

struct InstructionSpec {
  std::string kernel;
  uint32_t domain = 0;
  std::vector<Operand> inputs, outputs;
  std::map<std::string, double> attributes;
  int64_t site = -1;  // −1: none
};

struct ValueSpec {
  size_t offset = 0, elements_per_sample = 0;  // offset in floats
  Type type = Type::fp32;
};

struct ProgramSpec {
  size_t chunk_samples = 0, arena_floats = 0;
  std::vector<ValueSpec> values;
  std::vector<size_t> parameters;
  size_t paths = 0;
  std::vector<size_t> sites;
  size_t image_floats = 0, classes = 0;
  std::vector<InstructionSpec> forward, backward;
  uint32_t logits = 0, loss = 0;
};

enum class Kernel {
#define KERNEL(name, ...) name,
#include "kernels.def"
};

// The attributes of an instruction. Attributes that are not used are 0.
struct Dims {
#define SIZE_ATTRIBUTE(name, least) size_t name = 0;
#define FLAG_ATTRIBUTE(name) bool name = false;
#define REAL_ATTRIBUTE(name, may_be_zero) float name = 0;
#include "kernels.def"
};

// An instruction that has been checked.
struct Op {
  Kernel kernel;
  uint32_t domain;
  Dims dims;
  std::vector<Operand> inputs, outputs;
  int64_t site;
  size_t pack = 0;      // index of the packed weight, if the kernel is a product with one
  bool begins = false;  // the first to write its weight's gradient; in the first chunk it stores instead of adding
};

}  // namespace dropstream
