#include "vm/kernel-shapes.h"

#include <cmath>
#include <cstring>
#include <sstream>
#include <stdexcept>

namespace dropstream {

namespace {

struct KernelRow {
  const char* name;
  const char* attributes;
};

const KernelRow& row_of(Kernel kernel) {
  static const KernelRow rows[] = {
#define KERNEL(name, attributes, ...) {#name, attributes},
#include "kernels.def"
  };
  return rows[static_cast<size_t>(kernel)];
}

[[noreturn]] void refuse_attribute(const std::string& name, const std::string& value, const std::string& allowed) {
  throw std::invalid_argument("attribute " + name + " is " + value + ", must be " + allowed);
}

void set_size(size_t& attribute, const char* name, double value, double least) {
  if (!(value >= least && value <= 2147483647.0) || value != std::floor(value)) refuse_attribute(name, std::to_string(value), "a whole number in range");
  attribute = static_cast<size_t>(value);
}

void set_flag(bool& attribute, const char* name, double value) {
  if (value != 0 && value != 1) refuse_attribute(name, std::to_string(value), "0 or 1");
  attribute = value == 1;
}

void set_real(float& attribute, const char* name, double value, bool may_be_zero) {
  if (!std::isfinite(value) || value < 0 || (!may_be_zero && static_cast<float>(value) == 0))
    refuse_attribute(name, std::to_string(value), "finite and positive");
  attribute = static_cast<float>(value);
}

void set_attribute(Dims& dims, const std::string& attribute, double value) {
#define SIZE_ATTRIBUTE(name, least) \
  if (attribute == #name) return set_size(dims.name, #name, value, least);
#define FLAG_ATTRIBUTE(name) \
  if (attribute == #name) return set_flag(dims.name, #name, value);
#define REAL_ATTRIBUTE(name, may_be_zero) \
  if (attribute == #name) return set_real(dims.name, #name, value, may_be_zero);
#include "kernels.def"
  throw std::logic_error("kernels.def lists no attribute " + attribute);
}

// Larger windows would have scores that exceed every cache, and too much scratch memory per thread.
constexpr size_t kMaxWindow = 32, kMaxConvolution = 31;

std::string map_text(const Dims& d) { return "height " + std::to_string(d.height) + " and width " + std::to_string(d.width); }

void check_patches(const Dims& d) {
  if (d.height % d.patch || d.width % d.patch) throw std::invalid_argument("attribute patch must divide height and width");
}

void check_token(const Dims& d) {
  if (d.token >= d.tokens) throw std::invalid_argument("attribute token must be below tokens");
}

void check_convolution(const Dims& d) {
  if (d.kernel % 2 == 0 || d.kernel > kMaxConvolution)
    refuse_attribute("kernel", std::to_string(d.kernel), "odd and at most " + std::to_string(kMaxConvolution));
}

void check_merge(const Dims& d) {
  if (d.height % 2 || d.width % 2) throw std::invalid_argument("attributes are " + map_text(d) + ", must both be even");
  if (d.order > 1) refuse_attribute("order", std::to_string(d.order), "0 or 1");
}

void check_windows(const Dims& d) {
  if (d.window > kMaxWindow) refuse_attribute("window", std::to_string(d.window), "at most " + std::to_string(kMaxWindow));
  if (d.height % d.window || d.width % d.window) refuse_attribute("window", std::to_string(d.window), "a divisor of " + map_text(d));
  if (d.shift >= d.window) refuse_attribute("shift", std::to_string(d.shift), "below window = " + std::to_string(d.window));
}

// A number of elements, or SIZE_MAX on overflow, which equals no operand's size and is therefore rejected.
struct Elements {
  size_t count;
  Elements(size_t n) : count(n) {}  // implicit: kernels.def writes 3 * tokens
  friend Elements operator*(Elements a, Elements b) {
    size_t product;
    return __builtin_mul_overflow(a.count, b.count, &product) ? SIZE_MAX : product;
  }
  friend Elements operator+(Elements a, Elements b) {
    size_t sum;
    return __builtin_add_overflow(a.count, b.count, &sum) ? SIZE_MAX : sum;
  }
  friend Elements operator-(Elements a, Elements b) { return a.count == SIZE_MAX ? a : a.count - b.count; }
};

// The vocabulary of kernels.def.
struct NamedRule {
  const char* name;
  OperandRule rule;
  bool present = true;
  NamedRule optional() && { return rule.optional = true, *this; }
  NamedRule when(bool flag) && { return present = flag, *this; }
};
NamedRule fp32(const char* name, Elements elements) { return {name, {OperandRule::tensor, elements.count}}; }
NamedRule own(const char* name, Elements elements) { return {name, {OperandRule::tensor, elements.count, false, true}}; }
NamedRule alike(const char* name, Elements elements) { return {name, {OperandRule::tensor, elements.count, false, true, true}}; }
NamedRule parameter(const char* name, Elements elements) { return {name, {OperandRule::parameter, elements.count}}; }
NamedRule gradient(const char* name, Elements elements) { return {name, {OperandRule::gradient, elements.count}}; }
NamedRule images(const char* name, Elements elements) { return {name, {OperandRule::images, elements.count}}; }
NamedRule targets(const char* name, Elements elements) { return {name, {OperandRule::targets, elements.count}}; }

class Row {
 public:
  explicit Row(const Dims& dims) : dims_(dims) {}
  template <class... Rules>
  Row takes(const Rules&... rules) && {
    (take(rules), ...);
    return *this;
  }
  template <class... Rules>
  Row gives(const Rules&... rules) && {
    for (const NamedRule& rule : {rules...})
      if (rule.present) signature_.outputs.push_back(rule.rule);
    return *this;
  }
  template <class... Names>
  Row in_place(Names... names) && {
    (overwrite(names), ...);
    return *this;
  }
  Row domain(Elements domain) && { return signature_.domain = static_cast<int64_t>(domain.count), *this; }
  Row draws(Elements elements) && { return signature_.site_elements = elements.count, *this; }
  Row must_draw(Elements elements) && { return signature_.site_required = true, std::move(*this).draws(elements); }
  Row checked_by(void (*check)(const Dims&)) && { return check(dims_), *this; }
  operator Signature() && { return std::move(signature_); }

 private:
  void take(const NamedRule& rule) {
    if (!rule.present) return;
    names_.push_back(rule.name);
    signature_.inputs.push_back(rule.rule);
  }
  void overwrite(const char* name) {
    for (size_t i = 0; i < names_.size(); i++)
      if (!strcmp(names_[i], name)) return signature_.in_place.push_back(i);
    throw std::logic_error(std::string("kernels.def: in_place names no input ") + name);
  }

  const Dims& dims_;
  std::vector<const char*> names_;
  Signature signature_;
};

}  // namespace

Kernel kernel_by_name(const std::string& name) {
#define KERNEL(kernel, ...) \
  if (name == #kernel) return Kernel::kernel;
#include "kernels.def"
  throw std::invalid_argument("kernel is \"" + name + "\", must be one of the names in libs/native/kernels.def");
}

Dims read_dims(Kernel kernel, const std::map<std::string, double>& attributes) {
  Dims dims;
  std::string known;
  size_t used = 0;
  std::istringstream entries(row_of(kernel).attributes);
  for (std::string entry; entries >> entry;) {
    const bool optional = entry[0] == '?';
    const std::string name = optional ? entry.substr(1) : entry;
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

Signature signature_of(Kernel which, const Dims& dims) {
#define SIZE_ATTRIBUTE(name, least) [[maybe_unused]] const Elements name = dims.name;
#define FLAG_ATTRIBUTE(name) [[maybe_unused]] const bool name = dims.name;
#include "kernels.def"
  switch (which) {
// clang-format 14 would join a macro of several lines with the #include below.
// clang-format off
#define KERNEL(name, attributes, inputs, ...) case Kernel::name: return Row(dims).takes inputs.gives __VA_ARGS__;
#include "kernels.def"
    // clang-format on
  }
  throw std::logic_error("a kernel's number is out of range");
}

}  // namespace dropstream
