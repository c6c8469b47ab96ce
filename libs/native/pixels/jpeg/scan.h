// A plain JPEG (plain.h) as its headers describe it: plain data, shared with the kernels of every instruction set.
#pragma once
#include <cstddef>
#include <cstdint>

namespace dropstream::pixels {

// Canonical code of one table, as looked up by the entropy decoder.
struct HuffmanTable {
  static constexpr int kBits = 10;      // looked up at once
  static constexpr int kSkipBits = 12;  // looked up at once where coefficients are stepped over
  // By the next kBits bits: bits 0–5 code and magnitude length together, 8–15 advance in the block (kEndOfBlock for the end), 16–21 63 − magnitude length,
  // 24–28 code length; 0: the code is longer. In a DC table the advance is not used.
  uint32_t fast[1 << kBits];
  // AC only, by the next kSkipBits bits: as many whole symbols as fit: bits 0–5 their length, 8–15 their advance; 0: not one fits.
  uint16_t skip[1 << kSkipBits];
  // For longer codes: the first 16 bits below limit[l] mean length l; symbol = symbols[(code >> (16 − l)) + offset[l]].
  uint32_t limit[18];
  int32_t offset[17];
  uint8_t symbols[256];
  uint8_t definition[16 + 256];  // as the file has it
  bool defined = false, for_dc = false;
};
constexpr int kEndOfBlock = 128;

struct PlainComponent {
  int id = 0, h = 1, v = 1, quant = 0, dc = 0, ac = 0;
  int width = 0, height = 0;  // samples
  // Kept samples: (x, y) at data[(y − top) · stride + x − left], for the kept blocks.
  uint8_t* data = nullptr;
  size_t stride = 0;
  int left = 0, top = 0;
};

struct PlainJpeg {
  int width = 0, height = 0, components = 0, h = 1, v = 1;  // h, v: of the first component; the others have 1
  PlainComponent component[3];
  int mcus_per_row = 0, mcu_rows = 0, restart_interval = 0;
  alignas(64) int16_t quant[4][64];  // row by row
  bool has_quant[4] = {false, false, false, false};
  const uint8_t* scan = nullptr;  // entropy-coded data, up to the end of the file
  size_t scan_size = 0;
};

// What the kernels of one instruction set do to a plain JPEG.
struct ScanJob {
  const PlainJpeg* jpeg;
  const HuffmanTable *dc, *ac;
  const uint8_t* bytes;
  const size_t* ends;
  size_t parts;
  int first_row, last_row, first_column, last_column;  // MCUs to keep, inclusive
};

}  // namespace dropstream::pixels
