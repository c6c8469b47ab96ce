// Which samples every drop path keeps in a chunk, and the state of the dropout sites of a step.
#include <cmath>

#include "vm/program.h"

namespace dropstream {

namespace {

// Philox 4x32-10, first word. One call per sample and path, so plain code.
uint32_t philox_word(uint64_t seed, uint32_t c1, uint32_t c2, uint32_t c3) {
  uint32_t c[4] = {0, c1, c2, c3}, k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
  for (int round = 0; round < 10; round++, k0 += 0x9e3779b9u, k1 += 0xbb67ae85u) {
    const uint64_t a = (uint64_t)0xd2511f53u * c[0], b = (uint64_t)0xcd9e8d57u * c[2];
    const uint32_t next[4] = {(uint32_t)(b >> 32) ^ c[1] ^ k0, (uint32_t)b, (uint32_t)(a >> 32) ^ c[3] ^ k1, (uint32_t)a};
    for (int i = 0; i < 4; i++) c[i] = next[i];
  }
  return c[0];
}

// Kept where x < ⌈(1 − p)·2³²⌉, that is x ≤ this; p < 1, so the bound is at least 1.
uint32_t keep_limit(double rate) { return (uint32_t)((uint64_t)std::ceil((1 - rate) * 4294967296.0) - 1); }

}  // namespace

void Program::begin_sites(const Randomness& random) {
  for (size_t i = 0; i < spec_.sites.size(); i++) {
    DropoutSite& site = chunk_.sites[i];
    const double rate = random.site_rates[i];
    site.mask = random.site_masks.empty() ? nullptr : random.site_masks[i];
    site.on = rate > 0 || site.mask;
    site.key0 = (uint32_t)random.seed;
    site.key1 = (uint32_t)(random.seed >> 32);
    site.site = (uint32_t)i;
    site.step = random.step;
    site.limit = keep_limit(rate);
    site.scale = (float)(1 / (1 - rate));
    site.elements = spec_.sites[i];
  }
}

// Without `random` (evaluation): everything is kept, unscaled.
void Program::begin_chunk(const MicroBatch& micro, size_t start, size_t samples, size_t row, const Randomness* random) {
  chunk_.images = micro.images + start * spec_.image_floats;
  chunk_.targets = micro.targets + start * spec_.classes;
  chunk_.first_counter = micro.first_sample + (uint32_t)start;
  chunk_.first_row = row;
  for (size_t domain = 0; domain <= spec_.paths; domain++) {
    uint32_t* kept = kept_.as<uint32_t>() + domain * spec_.chunk_samples;
    size_t count = 0;
    const double rate = random && domain > 0 ? random->path_rates[domain - 1] : 0;
    const uint8_t* mask = random && domain > 0 && !random->path_masks.empty() ? random->path_masks[domain - 1] : nullptr;
    const uint32_t limit = keep_limit(rate);
    for (uint32_t i = 0; i < samples; i++) {
      const bool keep = mask ? mask[row + i] != 0
                             : rate <= 0 || philox_word(random->seed, chunk_.first_counter + i, 0x80000000u | (uint32_t)(domain - 1), random->step) <= limit;
      if (keep) kept[count++] = i;
    }
    chunk_.counts[domain] = count;
    if (domain > 0) chunk_.path_scales[domain - 1] = (float)(1 / (1 - rate));
  }
}

}  // namespace dropstream
