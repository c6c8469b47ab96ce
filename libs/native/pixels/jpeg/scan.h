// A plain JPEG (plain.h) as its headers describe it. These are plain structures, shared with the kernels of every instruction set.
#pragma once
#include <cstddef>
#include <cstdint>

namespace dropstream::pixels {

// The canonical code of one table, as the entropy decoder looks it up.
struct HuffmanTable {
  static constexpr int kBits = 10;      // looked up at once
  static constexpr int kSkipBits = 12;  // looked up at once when coefficients are skipped
  // Indexed by the next kBits bits. Bits 0–5 are the length of code and magnitude together, bits 8–15 the advance in the block (kEndOfBlock
  // at its end), bits 16–21 are 63 − the magnitude's length, and bits 24–28 the code's length. 0 means that the code is longer than kBits.
  // DC tables do not use the advance.
  uint32_t fast[1 << kBits];
  // AC only, indexed by the next kSkipBits bits, for as many whole symbols as fit: bits 0–5 are their length, bits 8–15 their advance. 0
  // means that none fits.
  uint16_t skip[1 << kSkipBits];
  // For longer codes: the code has length l if its first 16 bits are below limit[l]; symbol = symbols[(code >> (16 − l)) + offset[l]].
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
  // The samples of the kept blocks: (x, y) is at data[(y − top) · stride + x − left].
  uint8_t* data = nullptr;
  size_t stride = 0;
  int left = 0, top = 0;
};

struct PlainJpeg {
  int width = 0, height = 0, components = 0, h = 1, v = 1;  // h, v: sampling factors of the first component; those of the others are 1
  PlainComponent component[3];
  int mcus_per_row = 0, mcu_rows = 0, restart_interval = 0;
  alignas(64) int16_t quant[4][64];  // row by row
  bool has_quant[4] = {false, false, false, false};
  const uint8_t* scan = nullptr;  // entropy-coded data, up to the end of the file
  size_t scan_size = 0;
};

// The arguments of the kernel that decodes the scan of a plain JPEG.
struct ScanJob {
  const PlainJpeg* jpeg;
  const HuffmanTable *dc, *ac;
  const uint8_t* bytes;
  const size_t* ends;
  size_t parts;
  int first_row, last_row, first_column, last_column;  // MCUs to keep, inclusive
};

}  // namespace dropstream::pixels
