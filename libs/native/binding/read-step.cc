#include "binding/read-step.h"

namespace dropstream {

namespace {

constexpr uint64_t kMostIndex = 0xffffffff;

const float* read_floats(const Field& field, size_t expected, std::vector<napi_value>& arrays) {
  size_t count;
  const float* data = field.floats(&count);
  if (count != expected) field.refuse("of " + std::to_string(expected) + " elements, has " + std::to_string(count));
  arrays.push_back(field.value());
  return data;
}

// One mask (or nothing) per entry; entry i has rows · sizes[i] bytes.
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

}  // namespace

MicroBatch read_micro_batch(const Field& field, const ProgramSpec& spec, std::vector<napi_value>& arrays) {
  MicroBatch batch;
  batch.samples = field["samples"].whole(1 << 24);
  batch.first_sample = (uint32_t)field["firstSample"].whole(kMostIndex);
  batch.images = read_floats(field["images"], batch.samples * spec.image_floats, arrays);
  batch.targets = read_floats(field["targets"], batch.samples * spec.classes, arrays);
  return batch;
}

StepRequest read_step(const Field& micro, const Field& random, const Field& loss_scale, const Field& optimizer, const ProgramSpec& spec,
                      std::vector<napi_value>& arrays) {
  StepRequest request;
  size_t rows = 0;
  for (uint32_t i = 0, n = micro.length(); i < n; i++) {
    request.micro.push_back(read_micro_batch(micro.at(i), spec, arrays));
    rows += request.micro.back().samples;
  }
  request.random.seed = random["seed"].bits64();
  request.random.step = (uint32_t)random["step"].whole(kMostIndex);
  request.random.site_rates = random["siteRates"].doubles();
  request.random.path_rates = random["pathRates"].doubles();
  request.random.site_masks = read_masks(random["siteMasks"], rows, spec.sites, arrays);
  request.random.path_masks = read_masks(random["pathMasks"], rows, std::vector<size_t>(spec.paths, 1), arrays);
  request.loss_scale = (float)loss_scale.number();
  request.has_optimizer = optimizer.present();
  if (request.has_optimizer) request.optimizer = read_optimizer(optimizer);
  return request;
}

}  // namespace dropstream
