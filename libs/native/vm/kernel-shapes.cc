#include "vm/kernel-shapes.h"

#include <cmath>
#include <stdexcept>

namespace dropstream {

namespace {

struct KernelRow {
  const char* name;
  std::vector<const char*> attributes;  // a leading ? marks an optional one
};

// In the order of enum Kernel.
const std::vector<KernelRow>& rows() {
  static const std::vector<KernelRow> table = {
      {"patches", {"channels", "height", "width", "patch"}},
      {"linear", {"rows", "in", "out", "?gelu", "?bias"}},
      {"linear_input_grad", {"rows", "in", "out", "?gelu"}},
      {"linear_weight_grad", {"rows", "in", "out"}},
      {"gelu", {"rows", "width"}},
      {"gelu_grad", {"rows", "width"}},
      {"layer_norm", {"rows", "width", "eps"}},
      {"layer_norm_grad", {"rows", "width"}},
      {"attention", {"tokens", "heads", "head_dim", "scale"}},
      {"attention_grad", {"tokens", "heads", "head_dim", "scale"}},
      {"prepend_token", {"tokens", "width"}},
      {"prepend_token_grad", {"tokens", "width"}},
      {"add_positions", {"tokens", "width"}},
      {"add_positions_grad", {"tokens", "width"}},
      {"dropout", {"rows", "width"}},
      {"keep", {"width", "path", "?scaled"}},
      {"add_kept", {"width", "path", "?scaled"}},
      {"take_token", {"tokens", "width", "token"}},
      {"take_token_grad", {"tokens", "width", "token"}},
      {"mean_tokens", {"tokens", "width"}},
      {"mean_tokens_grad", {"tokens", "width"}},
      {"add", {"rows", "width"}},
      {"multiply", {"rows", "width"}},
      {"softmax_cross_entropy", {"classes"}},
      {"transpose_tokens", {"tokens", "width"}},
      {"layer_scale", {"rows", "width"}},
      {"layer_scale_grad", {"rows", "width"}},
      {"depthwise_conv", {"height", "width", "channels", "kernel"}},
      {"depthwise_conv_input_grad", {"height", "width", "channels", "kernel"}},
      {"depthwise_conv_weight_grad", {"height", "width", "channels", "kernel"}},
      {"merge_patches", {"height", "width", "channels", "order"}},
      {"merge_patches_grad", {"height", "width", "channels", "order"}},
      {"window_attention", {"height", "width", "window", "shift", "heads", "head_dim", "scale"}},
      {"window_attention_grad", {"height", "width", "window", "shift", "heads", "head_dim", "scale"}},
  };
  return table;
}

// a·b, or the largest size where that overflows: such a product equals no operand's size, so it is refused there.
size_t times(size_t a, size_t b) {
  size_t product;
  return __builtin_mul_overflow(a, b, &product) ? SIZE_MAX : product;
}
template <class... Rest>
size_t times(size_t a, size_t b, Rest... rest) {
  return times(times(a, b), rest...);
}

[[noreturn]] void refuse_attribute(const std::string& name, double value, const char* allowed) {
  throw std::invalid_argument("attribute " + name + " is " + std::to_string(value) + ", must be " + allowed);
}

size_t size_attribute(const std::string& name, double value) {
  const double least = name == "path" || name == "token" || name == "order" || name == "shift" ? 0 : 1;
  if (!(value >= least && value <= 2147483647.0) || value != std::floor(value)) refuse_attribute(name, value, "a whole number in range");
  return (size_t)value;
}

void set_attribute(Dims& d, const std::string& name, double value) {
  if (name == "eps" || name == "scale") {
    if (!std::isfinite(value) || value < 0 || (name == "scale" && (float)value == 0)) refuse_attribute(name, value, "finite and positive");
    (name == "eps" ? d.eps : d.scale) = (float)value;
  } else if (name == "gelu" || name == "bias" || name == "scaled") {
    if (value != 0 && value != 1) refuse_attribute(name, value, "0 or 1");
    (name == "gelu" ? d.gelu : name == "bias" ? d.bias : d.scaled) = value == 1;
  } else {
    const std::map<std::string, size_t*> sizes = {
        {"rows", &d.rows},     {"in", &d.in},         {"out", &d.out},     {"width", &d.width},       {"height", &d.height},   {"channels", &d.channels},
        {"patch", &d.patch},   {"tokens", &d.tokens}, {"token", &d.token}, {"heads", &d.heads},       {"head_dim", &d.head_dim}, {"classes", &d.classes},
        {"path", &d.path},     {"kernel", &d.kernel}, {"order", &d.order}, {"window", &d.window},     {"shift", &d.shift}};
    *sizes.at(name) = size_attribute(name, value);
  }
}

// Above this a window's scores would outgrow every cache, and the scratch of a thread its purpose.
constexpr size_t kMostWindow = 32, kMostConvolution = 31;

[[noreturn]] void refuse_size(const char* name, size_t value, const std::string& allowed) {
  throw std::invalid_argument("attribute " + std::string(name) + " is " + std::to_string(value) + ", must be " + allowed);
}

std::string map_text(const Dims& d) { return "height " + std::to_string(d.height) + " and width " + std::to_string(d.width); }

void check_convolution(const Dims& d) {
  if (d.kernel % 2 == 0 || d.kernel > kMostConvolution) refuse_size("kernel", d.kernel, "odd and at most " + std::to_string(kMostConvolution));
}

void check_merge(const Dims& d) {
  if (d.height % 2 || d.width % 2) throw std::invalid_argument("attributes are " + map_text(d) + ", must both be even");
  if (d.order > 1) refuse_size("order", d.order, "0 or 1");
}

void check_windows(const Dims& d) {
  if (d.window > kMostWindow) refuse_size("window", d.window, "at most " + std::to_string(kMostWindow));
  if (d.height % d.window || d.width % d.window) refuse_size("window", d.window, "a divisor of " + map_text(d));
  if (d.shift >= d.window) refuse_size("shift", d.shift, "below window = " + std::to_string(d.window));
}

}  // namespace

Kernel kernel_by_name(const std::string& name) {
  for (size_t i = 0; i < rows().size(); i++)
    if (name == rows()[i].name) return (Kernel)i;
  throw std::invalid_argument("kernel is \"" + name + "\", must be one of the names in libs/engine/native/program-spec.ts");
}

Dims read_dims(Kernel kernel, const std::map<std::string, double>& attributes) {
  Dims dims;
  std::string known;
  size_t used = 0;
  for (const char* entry : rows()[(size_t)kernel].attributes) {
    const bool optional = *entry == '?';
    const std::string name = optional ? entry + 1 : entry;
    known += (known.empty() ? "" : ", ") + name;
    const auto found = attributes.find(name);
    if (found == attributes.end()) {
      if (!optional) throw std::invalid_argument("attribute " + name + " is missing");
      continue;
    }
    set_attribute(dims, name, found->second);
    used++;
  }
  if (used == attributes.size()) return dims;
  for (const auto& [name, value] : attributes)
    if ((", " + known + ",").find(", " + name + ",") == std::string::npos)
      throw std::invalid_argument("attribute " + name + " is not known here, must be one of " + known);
  return dims;
}

Signature signature_of(Kernel kernel, const Dims& d) {
  using R = OperandRule;
  const auto half = [](size_t elements, bool optional = false) { return R{R::tensor, elements, optional, true}; };  // fp32 or bf16
  const size_t rows_in = times(d.rows, d.in), rows_out = times(d.rows, d.out), weight = times(d.in, d.out), map = times(d.rows, d.width);
  const size_t sequence = times(d.tokens, d.width), heads = times(d.tokens, d.heads, d.head_dim), scores = times(d.heads, d.tokens, d.tokens);
  const size_t grid = times(d.height, d.width, d.channels), taps = times(d.channels, d.kernel, d.kernel);
  const auto alike = [](size_t elements, bool optional = false) { return R{R::tensor, elements, optional, true, true}; };
  switch (kernel) {
    case Kernel::patches: {
      if (d.height % d.patch || d.width % d.patch) throw std::invalid_argument("attribute patch must divide height and width");
      const size_t image = times(d.channels, d.height, d.width);
      return {{{R::images, image}}, {half(image)}, 0, false, 0};
    }
    case Kernel::linear: {
      Signature s{{alike(rows_in), {R::parameter, weight}}, {half(rows_out)}};
      if (d.bias) s.inputs.push_back({R::parameter, d.out});
      if (d.gelu) s.outputs.push_back(alike(rows_out, true));
      return s;
    }
    case Kernel::linear_input_grad: {
      Signature s{{alike(rows_out), {R::parameter, weight}}, {half(rows_in)}};
      if (d.gelu) s.inputs.push_back(alike(rows_in));
      return s;
    }
    case Kernel::linear_weight_grad: return {{alike(rows_in), alike(rows_out)}, {{R::gradient, weight}, {R::gradient, d.out, true}}};
    case Kernel::gelu: return {{half(map)}, {half(map)}, 0, false, -1, {0}};
    case Kernel::gelu_grad: return {{half(map), half(map)}, {half(map)}, 0, false, -1, {0, 1}};
    case Kernel::layer_norm:
      return {{half(map), {R::parameter, d.width}, {R::parameter, d.width}}, {half(map), {R::tensor, d.rows}, {R::tensor, d.rows}}, 0, false, -1, {0}};
    case Kernel::layer_norm_grad:
      return {{half(map), {R::parameter, d.width}, {R::tensor, d.rows}, {R::tensor, d.rows}, half(map)},
              {half(map), {R::gradient, d.width}, {R::gradient, d.width}}, 0, false, -1, {0, 4}};
    case Kernel::attention:
    case Kernel::attention_grad: {
      const R qkv = alike(times(3, heads)), y = alike(heads), lse{R::tensor, times(d.heads, d.tokens)};
      if (kernel == Kernel::attention) return {{qkv}, {y, lse}, scores};
      return {{qkv, y, lse, y}, {qkv}, scores};
    }
    case Kernel::prepend_token: return {{half(sequence), {R::parameter, d.width}}, {{R::tensor, times(d.tokens + 1, d.width)}}};
    case Kernel::prepend_token_grad: return {{{R::tensor, times(d.tokens + 1, d.width)}}, {half(sequence), {R::gradient, d.width}}};
    case Kernel::add_positions: return {{half(sequence), {R::parameter, sequence}}, {{R::tensor, sequence}}, 0, false, -1, {0}};
    case Kernel::add_positions_grad: return {{{R::tensor, sequence}}, {{R::gradient, sequence}}};
    case Kernel::dropout: return {{half(map)}, {half(map)}, map, true, -1, {0}};
    case Kernel::keep: return {{{R::tensor, d.width}}, {half(d.width)}, 0, false, (int64_t)d.path + 1};
    case Kernel::add_kept: return {{{R::tensor, d.width}, half(d.width)}, {{R::tensor, d.width}}, 0, false, 0, {0}};
    case Kernel::take_token:
    case Kernel::take_token_grad: {
      if (d.token >= d.tokens) throw std::invalid_argument("attribute token must be below tokens");
      const R whole = half(sequence), one = half(d.width);
      return kernel == Kernel::take_token ? Signature{{whole}, {one}} : Signature{{one}, {whole}};
    }
    case Kernel::mean_tokens: return {{half(sequence)}, {half(d.width)}};
    case Kernel::mean_tokens_grad: return {{half(d.width)}, {half(sequence)}};
    case Kernel::add:
    case Kernel::multiply: return {{half(map), half(map)}, {half(map)}, 0, false, -1, {0, 1}};
    case Kernel::softmax_cross_entropy:
      return {{{R::tensor, d.classes}, {R::targets, d.classes}}, {{R::tensor, 1}, half(d.classes, true)}, 0, false, 0};
    case Kernel::transpose_tokens: return {{half(sequence)}, {half(sequence)}};
    case Kernel::layer_scale: return {{half(map), {R::parameter, d.width}}, {half(map)}, 0, false, -1, {0}};
    case Kernel::layer_scale_grad:
      return {{half(map), {R::parameter, d.width}, half(map)}, {half(map), {R::gradient, d.width}}, 0, false, -1, {0, 2}};
    case Kernel::depthwise_conv:
      check_convolution(d);
      return {{half(grid), {R::parameter, taps}, {R::parameter, d.channels}}, {half(grid)}};
    case Kernel::depthwise_conv_input_grad: check_convolution(d); return {{half(grid), {R::parameter, taps}}, {half(grid)}};
    case Kernel::depthwise_conv_weight_grad:
      check_convolution(d);
      return {{half(grid), half(grid)}, {{R::gradient, taps}, {R::gradient, d.channels}}};
    case Kernel::merge_patches:
    case Kernel::merge_patches_grad: check_merge(d); return {{half(grid)}, {half(grid)}};
    case Kernel::window_attention:
    case Kernel::window_attention_grad: {
      check_windows(d);
      const size_t places = d.window * d.window, tokens = times(d.height, d.width), out = times(tokens, d.heads, d.head_dim), side = 2 * d.window - 1;
      const size_t pairs = times(tokens, d.heads, places);  // windows · w² = tokens
      const R qkv = alike(times(3, out)), table_in{R::parameter, times(side * side, d.heads)}, table_grad{R::gradient, times(side * side, d.heads)};
      const R lse{R::tensor, times(tokens, d.heads)}, y = alike(out);
      if (kernel == Kernel::window_attention) return {{qkv, table_in}, {y, lse}, pairs};
      return {{qkv, table_in, y, lse, y}, {qkv, table_grad}, pairs};
    }
  }
  throw std::invalid_argument("unknown kernel");
}

}  // namespace dropstream
