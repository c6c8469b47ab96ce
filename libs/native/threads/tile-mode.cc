#include "threads/tile-mode.h"

#if DROPSTREAM_HAS_amx
#include <cpuid.h>
#include <immintrin.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cstdint>
#include <cstring>
#endif

namespace dropstream {

#if DROPSTREAM_HAS_amx

namespace {
constexpr unsigned kAmxBf16 = 1u << 22, kAmxTile = 1u << 24;  // CPUID leaf 7, edx
// Linux's arch_prctl requests a state component of XSAVE; component 18 is the data of the tiles. Linux before 5.16 answers EINVAL.
constexpr long kRequestPermission = 0x1023, kTileData = 18;

// The operand of ldtilecfg.
struct alignas(64) TileConfiguration {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
};
static_assert(sizeof(TileConfiguration) == 64, "the instruction reads 64 bytes");
}  // namespace

bool tiles_permitted() {
  static const bool permitted = [] {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & (kAmxBf16 | kAmxTile)) != (kAmxBf16 | kAmxTile)) return false;
    return syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
  }();
  return permitted;
}

__attribute__((target("amx-tile"))) void configure_tiles() {
  TileConfiguration configuration;
  memset(&configuration, 0, sizeof configuration);
  configuration.palette = 1;
  for (int tile = 0; tile < 8; tile++) {
    configuration.row_bytes[tile] = 64;
    configuration.rows[tile] = 16;
  }
  asm volatile("" : : "r"(&configuration) : "memory");  // the intrinsic of GCC 12 declares only the first bytes as read
  _tile_loadconfig(&configuration);
}

__attribute__((target("amx-tile"))) void release_tiles() { _tile_release(); }

#else

bool tiles_permitted() { return false; }
void configure_tiles() {}
void release_tiles() {}

#endif

}  // namespace dropstream
