// A program as it arrives (the C++ side of libs/engine/native/program-spec.ts), and as it is kept once every bound has been checked.
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
  patches, linear, linear_input_grad, linear_weight_grad, gelu, gelu_grad, layer_norm, layer_norm_grad, attention, attention_grad,
  prepend_token, prepend_token_grad, add_positions, add_positions_grad, dropout, keep, add_kept, take_token, take_token_grad, mean_tokens,
  mean_tokens_grad, add, multiply, softmax_cross_entropy, transpose_tokens, layer_scale, layer_scale_grad, depthwise_conv, depthwise_conv_input_grad,
  depthwise_conv_weight_grad, merge_patches, merge_patches_grad, window_attention, window_attention_grad
};

// The attributes of an instruction, as sizes. Unused ones are 0.
struct Dims {
  size_t rows = 0, in = 0, out = 0, width = 0, height = 0, channels = 0, patch = 0, tokens = 0, token = 0, heads = 0, head_dim = 0;
  size_t classes = 0, path = 0, kernel = 0, order = 0, window = 0, shift = 0;
  bool gelu = false, bias = false, scaled = false;
  float eps = 0, scale = 0;
};

// A checked instruction.
struct Op {
  Kernel kernel;
  uint32_t domain;
  Dims dims;
  std::vector<Operand> inputs, outputs;
  int64_t site;
  size_t pack = 0;  // index of the packed weight, where the kernel is a product with one
  bool begins = false;  // of a step, the first that writes its weight's gradient: in the first chunk it stores what others add
};

}  // namespace dropstream
