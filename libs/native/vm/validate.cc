#include "vm/validate.h"

#include <stdexcept>

#include "vm/kernel-shapes.h"

namespace dropstream {

namespace {

constexpr size_t kMaxChunk = 1 << 16, kMaxFloats = (size_t)1 << 40, kMaxEntries = 1 << 20;

[[noreturn]] void refuse(const std::string& what) { throw std::invalid_argument(what); }
std::string text(size_t n) { return std::to_string(n); }

void check_range(const char* field, size_t value, size_t least, size_t max) {
  if (value < least || value > max) refuse(std::string(field) + " is " + text(value) + ", must be from " + text(least) + " to " + text(max));
}

// The number of floats of the arena that a value takes in a full chunk.
size_t floats_of(const ProgramSpec& s, const ValueSpec& v) { return ceil_div(v.elements_per_sample * s.chunk_samples * size_of(v.type), sizeof(float)); }

void check_layout(const ProgramSpec& s) {
  check_range("chunkSamples", s.chunk_samples, 1, kMaxChunk);
  check_range("arenaFloats", s.arena_floats, 1, kMaxFloats);
  check_range("values.length", s.values.size(), 1, kMaxEntries);
  check_range("parameters.length", s.parameters.size(), 1, kMaxEntries);
  check_range("paths", s.paths, 0, 4096);
  check_range("sites.length", s.sites.size(), 0, 4096);
  check_range("imageFloats", s.image_floats, 1, kMaxFloats);
  check_range("classes", s.classes, 1, 1 << 24);
  for (size_t i = 0; i < s.values.size(); i++) {
    const ValueSpec& v = s.values[i];
    const std::string name = "values[" + text(i) + "]";
    if (v.offset % 16) refuse(name + ".offset is " + text(v.offset) + ", must be a multiple of 16");
    check_range((name + ".elementsPerSample").c_str(), v.elements_per_sample, 1, 2 * s.arena_floats);
    if (v.elements_per_sample > kMaxFloats / s.chunk_samples || v.offset > s.arena_floats || floats_of(s, v) > s.arena_floats - v.offset)
      refuse(name + " ends beyond arenaFloats = " + text(s.arena_floats) + " for a full chunk");
  }
  size_t total = 0;
  for (size_t i = 0; i < s.parameters.size(); i++) {
    check_range(("parameters[" + text(i) + "].size").c_str(), s.parameters[i], 1, (size_t)1 << 36);
    total += s.parameters[i];
    if (total > kMaxFloats) refuse("parameters have too many elements in all");
  }
  for (size_t i = 0; i < s.sites.size(); i++) check_range(("sites[" + text(i) + "].elementsPerSample").c_str(), s.sites[i], 1, (size_t)1 << 34);
  if (s.logits >= s.values.size() || s.values[s.logits].elements_per_sample != s.classes) refuse("logits must name a value of `classes` elements per sample");
  if (s.loss >= s.values.size() || s.values[s.loss].elements_per_sample != 1) refuse("loss must name a value of one element per sample");
  if (s.values[s.logits].type != Type::fp32 || s.values[s.loss].type != Type::fp32) refuse("logits and loss must be fp32");
}

void check_operand(const ProgramSpec& s, const Operand& operand, const OperandRule& rule, const std::string& place) {
  static const char* const kRoles[] = {"a value", "a parameter", "a gradient", "the images", "the targets"};
  static const OperandKind kKinds[] = {OperandKind::value, OperandKind::param, OperandKind::grad, OperandKind::images, OperandKind::targets};
  if (operand.kind != kKinds[rule.role]) refuse(place + " must be " + kRoles[rule.role]);
  size_t elements = 0;
  switch (operand.kind) {
    case OperandKind::value:
      if (operand.index >= s.values.size()) refuse(place + " is value " + text(operand.index) + ", must be below " + text(s.values.size()));
      elements = s.values[operand.index].elements_per_sample;
      break;
    case OperandKind::param:
    case OperandKind::grad:
      if (operand.index >= s.parameters.size()) refuse(place + " is parameter " + text(operand.index) + ", must be below " + text(s.parameters.size()));
      elements = s.parameters[operand.index];
      break;
    case OperandKind::images: elements = s.image_floats; break;
    case OperandKind::targets: elements = s.classes; break;
  }
  if (operand.kind == OperandKind::value && s.values[operand.index].type == Type::bf16 && !rule.half) refuse(place + " is bf16, must be fp32");
  if (elements != rule.elements) refuse(place + " has " + text(elements) + " elements, must have " + text(rule.elements) + " by the attributes");
}

void check_operands(const ProgramSpec& s, const std::vector<Operand>& operands, const std::vector<OperandRule>& rules, const std::string& place) {
  size_t required = 0;
  for (const OperandRule& rule : rules) required += !rule.optional;
  if (operands.size() < required || operands.size() > rules.size())
    refuse(place + "s number " + text(operands.size()) + ", must be " + text(required) + (required < rules.size() ? " to " + text(rules.size()) : ""));
  for (size_t i = 0; i < operands.size(); i++) check_operand(s, operands[i], rules[i], place + " " + text(i));
}

// The operands of one product must have the same type.
void check_types(const ProgramSpec& s, const InstructionSpec& in, const Signature& signature) {
  const Operand* first = nullptr;
  const auto check = [&](const std::vector<Operand>& operands, const std::vector<OperandRule>& rules, const char* side) {
    for (size_t i = 0; i < operands.size(); i++) {
      if (!rules[i].alike) continue;
      if (!first) first = &operands[i];
      if (s.values[operands[i].index].type != s.values[first->index].type) refuse(std::string(side) + " " + text(i) + " must be of the type of input 0");
    }
  };
  check(in.inputs, signature.inputs, "input");
  check(in.outputs, signature.outputs, "output");
}

bool overlap(const ProgramSpec& s, const Operand& a, const Operand& b) {
  if (a.kind != b.kind) return false;
  if (a.kind == OperandKind::grad) return a.index == b.index;
  if (a.kind != OperandKind::value) return false;
  const ValueSpec &x = s.values[a.index], &y = s.values[b.index];
  return x.offset < y.offset + floats_of(s, y) && y.offset < x.offset + floats_of(s, x);
}

void check_aliases(const ProgramSpec& s, const InstructionSpec& in, const Signature& signature, const std::string& place) {
  for (size_t o = 0; o < in.outputs.size(); o++) {
    for (size_t i = 0; i < in.inputs.size(); i++) {
      if (!overlap(s, in.inputs[i], in.outputs[o])) continue;
      bool allowed = false;
      if (o == 0)
        for (int entry : signature.in_place)
          allowed |= (size_t)entry == i && s.values[in.inputs[i].index].offset == s.values[in.outputs[0].index].offset &&
                     s.values[in.inputs[i].index].type == s.values[in.outputs[0].index].type;
      if (!allowed) refuse(place + ": output " + text(o) + " overlaps input " + text(i));
    }
    for (size_t other = 0; other < o; other++)
      if (overlap(s, in.outputs[o], in.outputs[other])) refuse(place + ": output " + text(o) + " overlaps output " + text(other));
  }
}

Op check_instruction(const ProgramSpec& s, const InstructionSpec& in, const std::string& place) {
  try {
    const Kernel kernel = kernel_by_name(in.kernel);
    const Dims dims = read_dims(kernel, in.attributes);
    const Signature signature = signature_of(kernel, dims);
    if (in.domain > s.paths) refuse("domain is " + text(in.domain) + ", must be at most paths = " + text(s.paths));
    if (in.attributes.count("path") && dims.path >= s.paths) refuse("path is " + text(dims.path) + ", must be below paths = " + text(s.paths));
    if (signature.domain >= 0 && in.domain != (uint64_t)signature.domain)
      refuse("domain is " + text(in.domain) + ", must be " + text((size_t)signature.domain));
    check_operands(s, in.inputs, signature.inputs, "input");
    check_operands(s, in.outputs, signature.outputs, "output");
    check_types(s, in, signature);
    if (signature.site_required && in.site < 0) refuse("site is missing");
    if (in.site >= 0) {
      if (!signature.site_elements) refuse("site must be absent: this kernel draws nothing");
      if ((size_t)in.site >= s.sites.size()) refuse("site is " + text((size_t)in.site) + ", must be below " + text(s.sites.size()));
      if (s.sites[(size_t)in.site] != signature.site_elements)
        refuse("site has " + text(s.sites[(size_t)in.site]) + " elements per sample, must have " + text(signature.site_elements));
    }
    check_aliases(s, in, signature, in.kernel);
    return {kernel, in.domain, dims, in.inputs, in.outputs, in.site};
  } catch (const std::invalid_argument& error) {
    refuse(place + " " + in.kernel + ": " + error.what());
  }
}

}  // namespace

CheckedProgram check_program(const ProgramSpec& spec) {
  check_layout(spec);
  CheckedProgram checked;
  for (size_t i = 0; i < spec.forward.size(); i++) checked.forward.push_back(check_instruction(spec, spec.forward[i], "forward[" + text(i) + "]"));
  for (size_t i = 0; i < spec.backward.size(); i++) checked.backward.push_back(check_instruction(spec, spec.backward[i], "backward[" + text(i) + "]"));
  return checked;
}

}  // namespace dropstream
