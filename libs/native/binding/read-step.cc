#include "binding/read-step.h"

namespace dropstream {

namespace {

constexpr uint64_t kMaxWord = 0xffffffff;

const float* read_floats(const Field& field, size_t expected, std::vector<napi_value>& arrays) {
  size_t count;
  const float* data = field.floats(&count);
  if (count != expected) field.refuse("of " + std::to_string(expected) + " elements, has " + std::to_string(count));
  arrays.push_back(field.value());
  return data;
}

// Reads one mask, or nothing, per entry. The mask of entry i has rows · sizes[i] bytes.
std::vector<const uint8_t*> read_masks(const Field& field, size_t rows, const std::vector<size_t>& sizes, std::vector<napi_value>& arrays) {
  std::vector<const uint8_t*> masks;
  if (!field.present()) return masks;
  if (field.length() != sizes.size()) field.refuse("of " + std::to_string(sizes.size()) + " entries");
  for (uint32_t i = 0; i < sizes.size(); i++) {
    const Field mask = field.at(i);
    masks.push_back(nullptr);
    if (!mask.present()) continue;
    size_t count;
    masks.back() = mask.bytes(&count);
    if (count != rows * sizes[i]) mask.refuse("of " + std::to_string(rows * sizes[i]) + " bytes, has " + std::to_string(count));
    arrays.push_back(mask.value());
  }
  return masks;
}

}  // namespace

Optimizer read_optimizer(const Field& field) {
  Optimizer o;
  const std::string kind = field["kind"].text();
  if (kind != "adamw" && kind != "sgd" && kind != "momentum") field["kind"].refuse("'adamw', 'sgd' or 'momentum'");
  o.kind = kind == "adamw" ? OptimizerKind::adamw : kind == "sgd" ? OptimizerKind::sgd : OptimizerKind::momentum;
  o.beta1 = field["beta1"].number();
  o.beta2 = field["beta2"].number();
  o.eps = field["eps"].number();
  o.momentum = field["momentum"].number();
  o.step = field["step"].whole((uint64_t)1 << 53);
  o.clip = field["clip"].number();
  o.learning_rate = field["learningRate"].doubles();
  o.weight_decay = field["weightDecay"].doubles();
  o.ema_decay = field["emaDecay"].number();
  return o;
}

std::vector<ParameterValues> read_parameters(const Field& list, const ProgramSpec& spec, std::vector<napi_value>& arrays) {
  std::vector<ParameterValues> parameters;
  for (uint32_t i = 0, n = list.length(); i < n; i++) {
    const Field entry = list.at(i);
    const size_t parameter = entry["parameter"].whole(spec.parameters.size() - 1);
    parameters.push_back({(uint32_t)parameter, const_cast<float*>(read_floats(entry["values"], spec.parameters[parameter], arrays))});
  }
  return parameters;
}

std::vector<Initializer> read_initializers(const Field& list, const ProgramSpec& spec) {
  static const struct {
    const char *kind, *value;
    Initializer::Kind as;
  } kKinds[] = {
      {"constant", "value", Initializer::Kind::constant}, {"normal", "std", Initializer::Kind::normal}, {"uniform", "bound", Initializer::Kind::uniform}};
  if (list.length() != spec.parameters.size()) list.refuse("of " + std::to_string(spec.parameters.size()) + " entries");
  std::vector<Initializer> initializers;
  for (uint32_t i = 0; i < spec.parameters.size(); i++) {
    const Field field = list.at(i), kind = field["kind"];
    const std::string name = kind.text();
    for (const auto& entry : kKinds)
      if (name == entry.kind) initializers.push_back({entry.as, field[entry.value].number()});
    if (initializers.size() == i) kind.refuse("'constant', 'normal' or 'uniform'");
  }
  return initializers;
}

Subtree read_subtree(const Field& field) { return {(uint32_t)field["first"].whole(kMaxLeaves - 1), (uint32_t)field["leaves"].whole(kMaxLeaves)}; }

float* read_gradients(const Field& field, size_t expected, std::vector<napi_value>& arrays) { return const_cast<float*>(read_floats(field, expected, arrays)); }

MicroBatch read_micro_batch(const Field& field, const ProgramSpec& spec, std::vector<napi_value>& arrays) {
  MicroBatch batch;
  batch.samples = field["samples"].whole(1 << 24);
  batch.first_sample = (uint32_t)field["firstSample"].whole(kMaxWord);
  batch.images = read_floats(field["images"], batch.samples * spec.image_floats, arrays);
  batch.targets = read_floats(field["targets"], batch.samples * spec.classes, arrays);
  return batch;
}

LeafRequest read_leaf(const Field& leaf, const ProgramSpec& spec, std::vector<napi_value>& arrays) {
  LeafRequest request;
  const Field micro = leaf["microBatches"], random = leaf["random"];
  size_t rows = 0;
  for (uint32_t i = 0, n = micro.length(); i < n; i++) {
    request.micro.push_back(read_micro_batch(micro.at(i), spec, arrays));
    rows += request.micro.back().samples;
  }
  request.random.seed = random["seed"].bits64();
  request.random.step = (uint32_t)random["step"].whole(kMaxWord);
  request.random.site_rates = random["siteRates"].doubles();
  request.random.path_rates = random["pathRates"].doubles();
  request.random.site_masks = read_masks(random["siteMasks"], rows, spec.sites, arrays);
  request.random.path_masks = read_masks(random["pathMasks"], rows, std::vector<size_t>(spec.paths, 1), arrays);
  request.loss_scale = (float)leaf["lossScale"].number();
  request.leaves = (uint32_t)leaf["leaves"].whole(kMaxLeaves);
  request.leaf = (uint32_t)leaf["index"].whole(kMaxLeaves - 1);
  if (request.leaf >= request.leaves) leaf["index"].refuse("below leaves = " + std::to_string(request.leaves));
  return request;
}

}  // namespace dropstream
