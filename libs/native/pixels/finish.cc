#include "finish.h"

#include <algorithm>

#include "kernels.h"
#include "noise.h"

namespace dropstream::pixels {
namespace {

constexpr int kNoiseAtOnce = 4096;

const uint8_t* plane_of(const FinishBatch& batch, int index, int channel) {
  return batch.pixels + (static_cast<size_t>(index) * 3 + static_cast<size_t>(channel)) * static_cast<size_t>(batch.size) * static_cast<size_t>(batch.size);
}

// Fills rows with noise, as many at a time as fit in `buffer`: a box is one run of elements, whatever its width.
void fill_with_noise(const EraseBox& erase, uint32_t slot, int channel, int size, float* plane, std::vector<float>& buffer) {
  const Window& box = erase.box;
  const NoiseStream noise{{erase.key[0], erase.key[1]}, erase.number, slot};
  const int rows_max = std::max(1, kNoiseAtOnce / std::max(1, box.width));
  buffer.resize(static_cast<size_t>(rows_max) * static_cast<size_t>(box.width));
  for (int y = 0; y < box.height; y += rows_max) {
    const int rows = std::min(rows_max, box.height - y);
    noise.fill((static_cast<uint64_t>(channel) * static_cast<uint64_t>(box.height) + static_cast<uint64_t>(y)) * static_cast<uint64_t>(box.width),
               rows * box.width, buffer.data());
    for (int r = 0; r < rows; r++) {
      std::copy_n(buffer.data() + static_cast<size_t>(r) * static_cast<size_t>(box.width), box.width,
                  plane + static_cast<size_t>(box.top + y + r) * static_cast<size_t>(size) + box.left);
    }
  }
}

// Writes one plane of the normalised, erased image of sample `index`.
void erased_plane(const FinishBatch& batch, int index, int channel, float* plane, std::vector<float>& buffer) {
  const auto size = static_cast<size_t>(batch.size);
  pixel_kernels().look_up_floats(plane_of(batch, index, channel), size * size, batch.tables + 256 * channel, plane);
  const FinishSample& sample = batch.samples[static_cast<size_t>(index)];
  for (const EraseBox& erase : sample.erase) {
    const Window& box = erase.box;
    if (erase.mode == EraseMode::per_pixel) {
      fill_with_noise(erase, sample.slot, channel, batch.size, plane, buffer);
      continue;
    }
    float value = 0.0f;
    if (erase.mode == EraseMode::per_channel) {
      const NoiseStream noise{{erase.key[0], erase.key[1]}, erase.number, sample.slot};
      noise.fill(static_cast<uint64_t>(channel), 1, &value);
    }
    for (int y = box.top; y < box.top + box.height; y++) std::fill_n(plane + static_cast<size_t>(y) * size + box.left, box.width, value);
  }
}

void finished_plane(const FinishBatch& batch, int index, int channel, FinishScratch& scratch, float* plane) {
  const FinishSample& sample = batch.samples[static_cast<size_t>(index)];
  const auto size = static_cast<size_t>(batch.size);
  erased_plane(batch, index, channel, plane, scratch.noise);
  if (sample.has_box ? sample.box.height == 0 || sample.box.width == 0 : sample.lambda == 1.0) return;
  scratch.partner.resize(size * size);
  erased_plane(batch, sample.partner, channel, scratch.partner.data(), scratch.noise);
  if (!sample.has_box) {
    return pixel_kernels().mix_floats(plane, scratch.partner.data(), size * size, static_cast<float>(sample.lambda), static_cast<float>(1.0 - sample.lambda));
  }
  for (int y = sample.box.top; y < sample.box.top + sample.box.height; y++) {
    const size_t at = static_cast<size_t>(y) * size + static_cast<size_t>(sample.box.left);
    std::copy_n(scratch.partner.data() + at, sample.box.width, plane + at);
  }
}

void check_box(const Window& box, int size, const char* what, int index) {
  if (box.top < 0 || box.left < 0 || box.height < 0 || box.width < 0 || box.top > size - box.height || box.left > size - box.width) {
    throw PixelError(std::string(what) + " of sample " + std::to_string(index) + " leaves the image of " + std::to_string(size) + " x " + std::to_string(size));
  }
}

}  // namespace

void check_finish(const FinishBatch& batch) {
  for (int i = 0; i < batch.count; i++) {
    const FinishSample& sample = batch.samples[static_cast<size_t>(i)];
    if (sample.partner >= batch.count) {
      throw PixelError("partner " + std::to_string(sample.partner) + " of sample " + std::to_string(i) + ": the batch has " + std::to_string(batch.count));
    }
    if (!(sample.lambda >= 0 && sample.lambda <= 1)) {
      throw PixelError("lambda " + std::to_string(sample.lambda) + " of sample " + std::to_string(i) + ": must be 0 to 1");
    }
    if (sample.has_box) check_box(sample.box, batch.size, "mix box", i);
    for (const EraseBox& erase : sample.erase) check_box(erase.box, batch.size, "erase box", i);
  }
}

void finish_float32(const FinishBatch& batch, int index, FinishScratch& scratch, float* out) {
  const size_t area = static_cast<size_t>(batch.size) * static_cast<size_t>(batch.size);
  for (int c = 0; c < 3; c++) finished_plane(batch, index, c, scratch, out + static_cast<size_t>(c) * area);
}

void finish_bfloat16(const FinishBatch& batch, int index, FinishScratch& scratch, uint16_t* out) {
  const size_t area = static_cast<size_t>(batch.size) * static_cast<size_t>(batch.size);
  scratch.own.resize(area);
  for (int c = 0; c < 3; c++) {
    finished_plane(batch, index, c, scratch, scratch.own.data());
    pixel_kernels().round_to_bfloat16(scratch.own.data(), area, out + static_cast<size_t>(c) * area);
  }
}

}  // namespace dropstream::pixels
