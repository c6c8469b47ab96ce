// Merges 2 × 2 neighbouring tokens of a map [H·W, C] into rows of 4C columns, and back, one row of the merged map at a time.
#include "kernels/declare.h"
#include "kernels/layout/interleave.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// The four tokens of one merged token, as (dy, dx): 00, 01, 10, 11.
template <class T>
struct Neighbours {
  T* at[4];
  DS_INLINE Neighbours(T* map, const MergeArgs& p, size_t row, size_t column) {
    T* corner = map + (2 * row * p.width + 2 * column) * p.channels;
    at[0] = corner;
    at[1] = corner + p.channels;
    at[2] = corner + p.width * p.channels;
    at[3] = at[2] + p.channels;
  }
};

// Columns (dx, dy, c), where dy varies faster than dx: block b holds neighbour kSwinOrder[b].
constexpr size_t kSwinOrder[4] = {0, 2, 1, 3};

template <class X, class Y>
static void merge(const MergeArgs& p, const X* map, Y* rows, size_t row_begin, size_t row_end) {
  const AllLanes all{};
  const size_t merged_width = p.width / 2;
  for (size_t row = row_begin; row < row_end; row++)  // H is even, so the merged rows of all samples are contiguous
    for (size_t column = 0; column < merged_width; column++) {
      const Neighbours<const X> n(map, p, row, column);
      Y* to = rows + (row * merged_width + column) * 4 * p.channels;
      if (p.order == 1) {
        for (size_t b = 0; b < 4; b++) copy(n.at[kSwinOrder[b]], to + b * p.channels, p.channels);
        continue;
      }
      size_t c = 0;
      for (; c + kLanes <= p.channels; c += kLanes) {
        const Vec a = load(n.at[0] + c), b = load(n.at[1] + c), d = load(n.at[2] + c), e = load(n.at[3] + c);
        const Vec ad = interleave_low(a, d, all), be = interleave_low(b, e, all), ad2 = interleave_high(a, d, all), be2 = interleave_high(b, e, all);
        store(to + 4 * c, interleave_low(ad, be, all));
        store(to + 4 * c + kLanes, interleave_high(ad, be, all));
        store(to + 4 * c + 2 * kLanes, interleave_low(ad2, be2, all));
        store(to + 4 * c + 3 * kLanes, interleave_high(ad2, be2, all));
      }
      for (; c < p.channels; c++)
        for (size_t i = 0; i < 4; i++) set(to + 4 * c + i, to_float(n.at[i][c]));
    }
}

template <class X, class Y>
static void unmerge(const MergeArgs& p, const X* rows, Y* map, size_t row_begin, size_t row_end) {
  const AllLanes all{};
  const size_t merged_width = p.width / 2;
  for (size_t row = row_begin; row < row_end; row++)
    for (size_t column = 0; column < merged_width; column++) {
      const Neighbours<Y> n(map, p, row, column);
      const X* from = rows + (row * merged_width + column) * 4 * p.channels;
      if (p.order == 1) {
        for (size_t b = 0; b < 4; b++) copy(from + b * p.channels, n.at[kSwinOrder[b]], p.channels);
        continue;
      }
      size_t c = 0;
      for (; c + kLanes <= p.channels; c += kLanes) {
        const Vec first = load(from + 4 * c), second = load(from + 4 * c + kLanes), third = load(from + 4 * c + 2 * kLanes),
                  fourth = load(from + 4 * c + 3 * kLanes);
        const Vec ad = even_lanes(first, second, all), ad2 = even_lanes(third, fourth, all), be = odd_lanes(first, second, all),
                  be2 = odd_lanes(third, fourth, all);
        store(n.at[0] + c, even_lanes(ad, ad2, all));
        store(n.at[1] + c, even_lanes(be, be2, all));
        store(n.at[2] + c, odd_lanes(ad, ad2, all));
        store(n.at[3] + c, odd_lanes(be, be2, all));
      }
      for (; c < p.channels; c++)
        for (size_t i = 0; i < 4; i++) set(n.at[i] + c, to_float(from[4 * c + i]));
    }
}

void merge_patches(const MergeArgs& p, size_t row_begin, size_t row_end) {
  with_types(p.from, p.to, [&](auto* from, auto* to) { merge(p, from, to, row_begin, row_end); });
}

void merge_patches_grad(const MergeArgs& p, size_t row_begin, size_t row_end) {
  with_types(p.from, p.to, [&](auto* from, auto* to) { unmerge(p, from, to, row_begin, row_end); });
}

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
