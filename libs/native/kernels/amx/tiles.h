// The tile registers of AMX: eight tiles of 16 rows × 64 bytes, configured by every compute thread (threads/tile-mode.h). Tiles 0 to 3 hold
// a block of 2 × 2 sums, tiles 4 and 5 its left operands, tiles 6 and 7 its right operands.
#pragma once
#include <immintrin.h>

#include "kernels/declare.h"

namespace dropstream {
namespace DROPSTREAM_ISA {

// The number of a tile is part of the instruction, so each number has its own branch, and the compiler keeps one of them.
#define DS_TILE(N, instruction, ...)                 \
  if constexpr (N == 0) instruction(0, __VA_ARGS__); \
  if constexpr (N == 1) instruction(1, __VA_ARGS__); \
  if constexpr (N == 2) instruction(2, __VA_ARGS__); \
  if constexpr (N == 3) instruction(3, __VA_ARGS__); \
  if constexpr (N == 4) instruction(4, __VA_ARGS__); \
  if constexpr (N == 5) instruction(5, __VA_ARGS__); \
  if constexpr (N == 6) instruction(6, __VA_ARGS__); \
  if constexpr (N == 7) instruction(7, __VA_ARGS__)

struct Tiles {
  template <int N>
  DS_INLINE void zero() {
    if constexpr (N == 0) _tile_zero(0);
    if constexpr (N == 1) _tile_zero(1);
    if constexpr (N == 2) _tile_zero(2);
    if constexpr (N == 3) _tile_zero(3);
  }
  // Loads rows that are `stride` bytes apart. The barrier is needed because the intrinsic of GCC 12 does not declare that it reads memory.
  template <int N>
  DS_INLINE void load(const void* at, size_t stride) {
    asm volatile("" ::: "memory");
    DS_TILE(N, _tile_loadd, at, stride);
  }
  template <int N>
  DS_INLINE void store(void* at, size_t stride) {
    DS_TILE(N, _tile_stored, at, stride);
    asm volatile("" ::: "memory");
  }
  // Adds left tile Row · right tile Column to the sum (Row, Column).
  template <int Row, int Column>
  DS_INLINE void multiply() {
    if constexpr (Row == 0 && Column == 0) _tile_dpbf16ps(0, 4, 6);
    if constexpr (Row == 0 && Column == 1) _tile_dpbf16ps(1, 4, 7);
    if constexpr (Row == 1 && Column == 0) _tile_dpbf16ps(2, 5, 6);
    if constexpr (Row == 1 && Column == 1) _tile_dpbf16ps(3, 5, 7);
  }
};
#undef DS_TILE

}  // namespace DROPSTREAM_ISA
}  // namespace dropstream
