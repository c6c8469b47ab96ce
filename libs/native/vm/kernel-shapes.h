// The operands of every kernel: their roles and sizes as functions of the kernel's attributes, as kernels.def defines them. Only the
// validator uses this.
#pragma once
#include <vector>

#include "vm/spec.h"

namespace dropstream {

struct OperandRule {
  enum Role { tensor, parameter, gradient, images, targets } role;
  size_t elements;        // per sample for tensors and batch data, in all for parameters
  bool optional = false;  // only trailing operands are
  bool half = false;      // may be bf16
  bool alike = false;     // has the type of the other operands that say so
};

struct Signature {
  std::vector<OperandRule> inputs, outputs;
  size_t site_elements = 0;  // per sample, where the kernel draws dropout
  bool site_required = false;
  int64_t domain = -1;           // the one domain it may have; −1: any
  std::vector<size_t> in_place;  // inputs that output 0 may be (exactly)
};

// Throws std::invalid_argument for an unknown kernel.
Kernel kernel_by_name(const std::string& name);

// Reads the attributes by name and checks that all required ones are present and in range. Throws std::invalid_argument.
Dims read_dims(Kernel kernel, const std::map<std::string, double>& attributes);

// Throws std::invalid_argument if attributes contradict each other.
Signature signature_of(Kernel kernel, const Dims& dims);

}  // namespace dropstream
