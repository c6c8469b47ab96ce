#include "finish.h"

#include <cstring>

#include "noise.h"

namespace dropstream::pixels {
namespace {

// One row of the normalised, erased image of sample `index`.
void erased_row(const FinishBatch& batch, int index, int channel, int y, float* __restrict row) {
  const auto size = static_cast<size_t>(batch.size);
  const uint8_t* pixels = batch.pixels + ((static_cast<size_t>(index) * 3 + static_cast<size_t>(channel)) * size + static_cast<size_t>(y)) * size;
  const float* table = batch.tables + 256 * channel;
  for (size_t x = 0; x < size; x++) row[x] = table[pixels[x]];
  for (const EraseBox& erase : batch.samples[static_cast<size_t>(index)].erase) {
    const Window& box = erase.box;
    if (y < box.top || y >= box.top + box.height) continue;
    float* const target = row + box.left;
    const NoiseStream noise{{erase.key[0], erase.key[1]}, erase.number, static_cast<uint32_t>(index)};
    switch (erase.mode) {
      case EraseMode::constant:
        for (int x = 0; x < box.width; x++) target[x] = 0.0f;
        break;
      case EraseMode::per_channel: {
        float value;
        noise.fill(static_cast<uint64_t>(channel), 1, &value);
        for (int x = 0; x < box.width; x++) target[x] = value;
        break;
      }
      case EraseMode::per_pixel:
        noise.fill((static_cast<uint64_t>(channel) * static_cast<uint64_t>(box.height) + static_cast<uint64_t>(y - box.top)) *
                       static_cast<uint64_t>(box.width),
                   box.width, target);
        break;
    }
  }
}

void finished_row(const FinishBatch& batch, int index, int channel, int y, float* __restrict row, float* __restrict other) {
  const FinishSample& sample = batch.samples[static_cast<size_t>(index)];
  erased_row(batch, index, channel, y, row);
  if (sample.has_box) {
    if (y < sample.box.top || y >= sample.box.top + sample.box.height) return;
    erased_row(batch, sample.partner, channel, y, other);
    for (int x = sample.box.left; x < sample.box.left + sample.box.width; x++) row[x] = other[x];
    return;
  }
  if (sample.lambda == 1.0) return;
  erased_row(batch, sample.partner, channel, y, other);
  const auto own_share = static_cast<float>(sample.lambda), other_share = static_cast<float>(1.0 - sample.lambda);
  for (int x = 0; x < batch.size; x++) row[x] = row[x] * own_share + other[x] * other_share;
}

uint16_t to_bfloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  if ((bits & 0x7fffffff) > 0x7f800000) return static_cast<uint16_t>((bits >> 16) | 0x40);  // NaN stays NaN
  return static_cast<uint16_t>((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}

void check_box(const Window& box, int size, const char* what, int index) {
  if (box.top < 0 || box.left < 0 || box.height < 0 || box.width < 0 || box.top > size - box.height || box.left > size - box.width) {
    throw PixelError(std::string(what) + " of sample " + std::to_string(index) + " leaves the image of " + std::to_string(size) + " x " +
                     std::to_string(size));
  }
}

}  // namespace

void check_finish(const FinishBatch& batch) {
  for (int i = 0; i < batch.count; i++) {
    const FinishSample& sample = batch.samples[static_cast<size_t>(i)];
    if (sample.partner >= batch.count) {
      throw PixelError("partner " + std::to_string(sample.partner) + " of sample " + std::to_string(i) + ": the batch has " +
                       std::to_string(batch.count));
    }
    if (!(sample.lambda >= 0 && sample.lambda <= 1)) {
      throw PixelError("lambda " + std::to_string(sample.lambda) + " of sample " + std::to_string(i) + ": must be 0 to 1");
    }
    if (sample.has_box) check_box(sample.box, batch.size, "mix box", i);
    for (const EraseBox& erase : sample.erase) check_box(erase.box, batch.size, "erase box", i);
  }
}

void finish_float32(const FinishBatch& batch, int index, FinishScratch& scratch, float* out) {
  const auto size = static_cast<size_t>(batch.size);
  scratch.partner.resize(size);
  for (int c = 0; c < 3; c++) {
    for (int y = 0; y < batch.size; y++, out += size) finished_row(batch, index, c, y, out, scratch.partner.data());
  }
}

void finish_bfloat16(const FinishBatch& batch, int index, FinishScratch& scratch, uint16_t* out) {
  const auto size = static_cast<size_t>(batch.size);
  scratch.own.resize(size);
  scratch.partner.resize(size);
  for (int c = 0; c < 3; c++) {
    for (int y = 0; y < batch.size; y++, out += size) {
      finished_row(batch, index, c, y, scratch.own.data(), scratch.partner.data());
      for (size_t x = 0; x < size; x++) out[x] = to_bfloat16(scratch.own[x]);
    }
  }
}

}  // namespace dropstream::pixels
