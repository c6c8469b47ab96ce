// Kernels that move or add whole tokens: patches of an image as rows, sums over samples (the gradients of the class token and of position
// embeddings), and the mean over tokens.
#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// For patches that are narrower than a vector: one vector of an image row contains parts of several patches.
template <size_t Size, class Y>
static void narrow_patches(const PatchesArgs& p, const float* image, Y* out) {
  constexpr size_t fits = kLanes / Size;
  const size_t patches_per_row = p.width / Size, columns = p.channels * Size * Size;
  for (size_t i = 0; i < p.height / Size; i++)
    for (size_t c = 0; c < p.channels; c++)
      for (size_t y = 0; y < Size; y++) {
        const float* row = image + (c * p.height + i * Size + y) * p.width;
        Y* to = out + i * patches_per_row * columns + (c * Size + y) * Size;
        for (size_t j = 0; j < patches_per_row; j += fits) {
          const size_t n = min(fits, patches_per_row - j);
          Y pieces[kLanes];
          store(pieces, n == fits ? load(row + j * Size) : load_part(row + j * Size, n * Size));
          for (size_t q = 0; q < n; q++) memcpy(to + (j + q) * columns, pieces + q * Size, Size * sizeof(Y));
        }
      }
}

// images[C, H, W] of one sample → y[(H/p)·(W/p), C·p·p], with columns in (channel, row, column) order, like a flattened convolution weight.
void patches(const PatchesArgs& p, size_t sample) {
  const size_t size = p.patch, patches_per_column = p.height / size, patches_per_row = p.width / size;
  const float* image = p.images + sample * p.channels * p.height * p.width;
  with_types(p.y + sample * patches_per_column * patches_per_row * p.channels * size * size, [&](auto* out) {
    if (size == 4 && kLanes > 4) return narrow_patches<4>(p, image, out);
    for (size_t i = 0; i < patches_per_column; i++)
      for (size_t j = 0; j < patches_per_row; j++)
        for (size_t c = 0; c < p.channels; c++)
          for (size_t y = 0; y < size; y++, out += size) {
            const float* row = image + (c * p.height + i * size + y) * p.width + j * size;
            for_vectors(size, [&](size_t e, auto io) { io.put(out + e, io.get(row + e)); });
          }
  });
}

// Every element is summed by one thread, with samples in ascending order, so the sum does not depend on how elements are split over
// threads.
void sum_samples(const float* x, size_t samples, size_t stride, float* sum, size_t begin, size_t end) {
  for_vectors(end - begin, [=](size_t e, auto io) {
    Vec total = zero();
    for (size_t s = 0; s < samples; s++) total += io.get(x + s * stride + begin + e);
    io.put(sum + begin + e, io.get(sum + begin + e) + total);
  });
}

void mean_tokens(In from, size_t tokens, size_t width, Out to) {
  const Vec factor = splat(1.0f / (float)tokens);
  with_types(from, to, [=](auto* x, auto* y) {
    for_vectors(width, [=](size_t e, auto io) {
      Vec total = zero();
      for (size_t t = 0; t < tokens; t++) total += io.get(x + t * width + e);
      io.put(y + e, factor * total);
    });
  });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
