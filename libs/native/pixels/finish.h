// Converts uint8 pixels to the model's input: normalise → erase → mix with the partner's image, which is erased but not mixed.
#pragma once
#include <cstdint>
#include <vector>

#include "image.h"

namespace dropstream::pixels {

enum class EraseMode { constant, per_channel, per_pixel };

struct EraseBox {
  Window box;
  EraseMode mode = EraseMode::constant;  // 0, or noise (noise.h)
  uint32_t key[2] = {0, 0};
  uint32_t number = 0;
};

struct FinishSample {
  uint32_t slot = 0;            // in the batch that the sample is from: selects the noise, wherever the row is here
  std::vector<EraseBox> erase;  // in order: a later box covers an earlier one
  // has_box: the box is the partner's; else λ · own + (1 − λ) · partner in float32, λ and 1 − λ each rounded to float32 first.
  double lambda = 1;
  int partner = 0;
  bool has_box = false;
  Window box;
};

struct FinishBatch {
  const uint8_t* pixels = nullptr;  // [count, 3, size, size]
  int count = 0, size = 0;
  const float* tables = nullptr;  // [3, 256]: the normalised value of each byte
  std::vector<FinishSample> samples;
};

struct FinishScratch {
  std::vector<float> own, partner, noise;
};

// Throws PixelError if a sample's boxes or partner do not fit the batch.
void check_finish(const FinishBatch& batch);

// Writes one sample, 3 · size · size values. bfloat16 is rounded to nearest, ties to even.
void finish_float32(const FinishBatch& batch, int index, FinishScratch& scratch, float* out);
void finish_bfloat16(const FinishBatch& batch, int index, FinishScratch& scratch, uint16_t* out);

}  // namespace dropstream::pixels
