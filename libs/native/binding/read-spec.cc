#include "binding/read-spec.h"

namespace dropstream {

namespace {

constexpr uint64_t kMaxIndex = 0xffffffff, kMaxSize = (uint64_t)1 << 53;

Operand read_operand(const Field& field) {
  static const struct {
    const char* name;
    OperandKind kind;
  } kIndexed[] = {{"value", OperandKind::value}, {"param", OperandKind::param}, {"grad", OperandKind::grad}};
  for (const auto& entry : kIndexed)
    if (const Field index = field[entry.name]; index.present()) return {entry.kind, (uint32_t)index.whole(kMaxIndex)};
  const Field input = field["input"];
  if (!input.present()) field.refuse("{ value }, { param }, { grad } or { input }");
  const std::string name = input.text();
  if (name != "images" && name != "targets") input.refuse("'images' or 'targets'");
  return {name == "images" ? OperandKind::images : OperandKind::targets, 0};
}

std::vector<Operand> read_operands(const Field& list) {
  std::vector<Operand> operands;
  for (uint32_t i = 0, n = list.length(); i < n; i++) operands.push_back(read_operand(list.at(i)));
  return operands;
}

std::vector<InstructionSpec> read_instructions(const Field& list) {
  std::vector<InstructionSpec> instructions;
  for (uint32_t i = 0, n = list.length(); i < n; i++) {
    const Field field = list.at(i);
    InstructionSpec in;
    in.kernel = field["kernel"].text();
    in.domain = (uint32_t)field["domain"].whole(kMaxIndex);
    in.inputs = read_operands(field["inputs"]);
    in.outputs = read_operands(field["outputs"]);
    const Field attributes = field["attributes"];
    for (const std::string& name : attributes.names()) in.attributes[name] = attributes[name.c_str()].number();
    if (const Field site = field["site"]; site.present()) in.site = (int64_t)site.whole(kMaxIndex);
    instructions.push_back(std::move(in));
  }
  return instructions;
}

}  // namespace

ProgramSpec read_spec(const Field& field) {
  ProgramSpec spec;
  spec.chunk_samples = field["chunkSamples"].whole(kMaxSize);
  spec.arena_floats = field["arenaFloats"].whole(kMaxSize);
  const Field values = field["values"], parameters = field["parameters"], sites = field["sites"];
  for (uint32_t i = 0, n = values.length(); i < n; i++) {
    const Field value = values.at(i);
    const Field type = value["type"];
    const std::string name = type.present() ? type.text() : "fp32";
    if (name != "fp32" && name != "bf16") throw std::invalid_argument("values[" + std::to_string(i) + "].type is \"" + name + "\", must be fp32 or bf16");
    spec.values.push_back({value["offset"].whole(kMaxSize), value["elementsPerSample"].whole(kMaxSize), name == "bf16" ? Type::bf16 : Type::fp32});
  }
  for (uint32_t i = 0, n = parameters.length(); i < n; i++) spec.parameters.push_back(parameters.at(i)["size"].whole(kMaxSize));
  spec.paths = field["paths"].whole(kMaxIndex);
  for (uint32_t i = 0, n = sites.length(); i < n; i++) spec.sites.push_back(sites.at(i)["elementsPerSample"].whole(kMaxSize));
  spec.image_floats = field["imageFloats"].whole(kMaxSize);
  spec.classes = field["classes"].whole(kMaxSize);
  spec.forward = read_instructions(field["forward"]);
  spec.backward = read_instructions(field["backward"]);
  spec.logits = (uint32_t)field["logits"].whole(kMaxIndex);
  spec.loss = (uint32_t)field["loss"].whole(kMaxIndex);
  return spec;
}

}  // namespace dropstream
