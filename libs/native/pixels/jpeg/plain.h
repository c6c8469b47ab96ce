// A plain JPEG is a baseline Huffman file with one interleaved scan, gray or Y'CbCr with chroma subsampled at most 2 to 1 in each
// direction, and without errors. Nearly all files are plain. They are decoded here, and only where a window needs it: blocks outside of the
// window are skipped without computing their coefficients, and rows below it are not read. The pixels equal those of libjpeg-turbo's
// accurate integer DCT and fancy upsampling, byte for byte. Everything else is left to libjpeg-turbo, including files that might not come
// out the same (damage, extreme coefficients).
#pragma once
#include <cstdint>
#include <vector>

#include "image.h"
#include "jpeg/scan.h"

namespace dropstream::pixels {

// Fills the table from `counts` of codes by length and from `symbols`. Returns false if no plain file uses such a code.
bool make_huffman_table(const uint8_t* counts, const uint8_t* symbols, int symbol_count, bool for_dc, HuffmanTable& table);

// The scan without stuffing, split into parts at restart markers.
struct PlainScan {
  std::vector<uint8_t> bytes;  // followed by kScanSlack zeros
  std::vector<size_t> ends;    // of each part
};
constexpr size_t kScanSlack = 8192;

struct PlainScratch {
  HuffmanTable dc[4], ac[4];
  PlainJpeg jpeg;
  PlainScan scan;
  std::vector<uint8_t> samples, rows;
  // Frees memory beyond `max` bytes.
  void trim(size_t max);
};

// Returns true if the headers are those of a plain JPEG; the tables are then ready. Reads only up to the start of the scan.
bool read_plain_headers(Bytes file, PlainScratch& scratch);
// Returns true if the scan ends as it should.
bool read_plain_scan(PlainScratch& scratch);

// Decodes the window into `out`. Returns false if the file is not plain; another decoder may then try it. Throws what `choose` throws.
bool decode_plain_jpeg(Bytes file, int declared_width, int declared_height, const ChooseWindow& choose, Image& out, PlainScratch& scratch);

}  // namespace dropstream::pixels
