#include "plan-record.h"

#include <cmath>

namespace dropstream::pixels {
namespace {

constexpr int kMaxOperations = 64;
constexpr int kMaxEraseBoxes = 1024;

[[noreturn]] void fail(const char* field, const std::string& problem) { throw RecordError(std::string(field) + ": " + problem); }

Interpolation read_interpolation(RecordReader& reader) { return reader.integer("interpolation", 0, 1) == 0 ? Interpolation::bilinear : Interpolation::bicubic; }

Operation read_operation(RecordReader& reader) {
  const auto kind = static_cast<OpKind>(reader.integer("op", 0, static_cast<int>(OpKind::translate_y)));
  const double argument = reader.number("argument");
  const auto bounded = [&](double low, double high) {
    if (argument < low || argument > high || argument != std::floor(argument)) {
      fail("argument", std::to_string(argument) + " is not a whole number of " + std::to_string(low) + " to " + std::to_string(high));
    }
  };
  if (kind == OpKind::posterize) bounded(0, 8);
  if (kind == OpKind::solarize) bounded(0, 256);
  if (kind == OpKind::solarize_add) bounded(0, 255);
  return {kind, argument, read_interpolation(reader)};
}

}  // namespace

double RecordReader::number(const char* field) {
  if (at_ >= count_) fail(field, "the record ends early");
  const double value = values_[at_++];
  if (!std::isfinite(value)) fail(field, "not a finite number");
  return value;
}

int RecordReader::integer(const char* field, double low, double high) {
  const double value = number(field);
  if (value < low || value > high || value != std::floor(value)) {
    fail(field, std::to_string(value) + " is not a whole number of " + std::to_string(low) + " to " + std::to_string(high));
  }
  return static_cast<int>(value);
}

uint32_t RecordReader::word(const char* field) {
  const double value = number(field);
  if (value < 0 || value > 4294967295.0 || value != std::floor(value)) fail(field, std::to_string(value) + " is not a 32-bit word");
  return static_cast<uint32_t>(value);
}

RenderRecord read_render_record(RecordReader& reader) {
  constexpr double side = 1 << 20;  // a generous limit; whether it fits the image is checked with the image
  RenderRecord record;
  Source& source = record.source;
  source.format = static_cast<Format>(reader.integer("format", 0, 3));
  source.width = reader.integer("width", 0, side);
  source.height = reader.integer("height", 0, side);
  source.png.width = source.width;
  source.png.height = source.height;
  source.png.bit_depth = reader.integer("bit depth", 0, 16);
  source.png.color_type = reader.integer("colour type", 0, 6);
  source.png.interlaced = reader.integer("interlaced", 0, 1) == 1;
  Plan& plan = record.plan;
  plan.geometry = static_cast<GeometryKind>(reader.integer("geometry", 0, static_cast<int>(GeometryKind::warp)));
  plan.window.top = reader.integer("top", -side, side);
  plan.window.left = reader.integer("left", -side, side);
  plan.window.height = reader.integer("height", -side, side);
  plan.window.width = reader.integer("width", -side, side);
  plan.padding = reader.integer("padding", 0, kMaxOutputSide);
  plan.resize_width = reader.integer("resize width", 0, side);
  plan.resize_height = reader.integer("resize height", 0, side);
  plan.interpolation = read_interpolation(reader);
  plan.flip = reader.integer("flip", 0, 1) == 1;
  for (uint8_t& value : plan.fill.channel) value = static_cast<uint8_t>(reader.integer("fill", 0, 255));
  const int operations = reader.integer("number of operations", 0, kMaxOperations);
  for (int i = 0; i < operations; i++) plan.operations.push_back(read_operation(reader));
  return record;
}

FinishSample read_finish_record(RecordReader& reader) {
  FinishSample sample;
  sample.slot = reader.word("slot");
  const int boxes = reader.integer("number of erase boxes", 0, kMaxEraseBoxes);
  sample.lambda = reader.number("lambda");
  sample.partner = reader.integer("partner", 0, 1 << 24);
  sample.has_box = reader.integer("has box", 0, 1) == 1;
  const auto window = [&] {
    Window box;
    box.top = reader.integer("box top", 0, kMaxOutputSide);
    box.left = reader.integer("box left", 0, kMaxOutputSide);
    box.height = reader.integer("box height", 0, kMaxOutputSide);
    box.width = reader.integer("box width", 0, kMaxOutputSide);
    return box;
  };
  sample.box = window();
  for (int i = 0; i < boxes; i++) {
    EraseBox erase;
    erase.box = window();
    erase.mode = static_cast<EraseMode>(reader.integer("erase mode", 0, 2));
    erase.key[0] = reader.word("erase key");
    erase.key[1] = reader.word("erase key");
    erase.number = reader.word("erase box");
    sample.erase.push_back(erase);
  }
  return sample;
}

}  // namespace dropstream::pixels
