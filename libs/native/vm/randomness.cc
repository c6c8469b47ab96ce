// Decides which samples every drop path keeps in a chunk, and prepares the dropout sites of a step.
#include <cmath>

#include "random/philox.h"
#include "vm/program.h"

namespace dropstream {

namespace {

uint32_t philox_word(uint64_t seed, uint32_t c1, uint32_t c2, uint32_t c3) {
  uint32_t c[4] = {0, c1, c2, c3};
  philox_block((uint32_t)seed, (uint32_t)(seed >> 32), c);
  return c[0];
}

// An element is kept if x < ⌈(1 − p)·2³²⌉, that is, if x ≤ this value. p < 1, so the bound is at least 1.
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

// Without `random` (in an evaluation) everything is kept and nothing is scaled.
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
